/* Switches callgrind's counting on and off, so that it counts what is timed and nothing else. */
#include <valgrind/callgrind.h>

void start_instructions(void) { CALLGRIND_START_INSTRUMENTATION; }

void stop_instructions(void) { CALLGRIND_STOP_INSTRUMENTATION; }
