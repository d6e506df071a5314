/* A Phoenix channel server that costs next to nothing, so that what is measured is the client.
 *
 * It accepts every topic and answers every push with ok, in the serializer that `vsn` asks for (V2,
 * else V1). The name of a topic, which may stand in a GraphQL subscription instead, can ask for more
 * once it is joined:
 *
 *   flood:KIND:COUNT:SIZE   COUNT messages of SIZE bytes each, of the KIND json or binary
 *   fan:MEMBERS:TIMES       as soon as so many connections are in it, so many times a message to
 *                           all of them, one every 200 ms, with the time at which the server began
 *                           to send it: nanoseconds of CLOCK_MONOTONIC
 *
 * The messages have the event "tick", and the form that the client expects: topics "realtime:..."
 * get Supabase's broadcasts, GraphQL documents get Absinthe's.
 *
 * It prints its port and ends when its standard input does, so that it never outlives whoever
 * started it. Linux only.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define READ_SIZE (256 * 1024)
#define MAX_INPUT (1024 * 1024)
#define MAX_EVENTS 1024
#define BLOCK_SIZE (256 * 1024)
#define FAN_EVERY_NS 200000000LL

enum opcode { TEXT = 0x1, BINARY = 0x2, CLOSE = 0x8, PING = 0x9, PONG = 0xA };

/* The forms in which messages reach a client that asks for a flood or a fan. */
enum form { V2, V2_BINARY, V1, SUPABASE, ABSINTHE };

typedef struct {
    char *data;
    size_t start, end, capacity;
} buffer;

typedef struct {
    const char *at;
    size_t length;
} slice;

/* What of a message is looked at, each as it is written, quotes and all. */
typedef struct {
    slice join_ref, ref, topic, event, payload;
} message;

typedef struct {
    enum form form;
    char topic[256]; /* with its quotes */
} subscription;

typedef struct connection {
    int fd, place;
    int upgraded, closing, version;
    buffer in, out;
    /* A flood repeats a block of frames of one size, since encoding it must not be part of what is
     * timed. What else is sent goes between two of its frames. */
    buffer block;
    size_t flood_frame, flood_sent, flood_total;
    int in_fan;
    subscription fan;
} connection;

static connection **connections;
static int connection_count, connection_room, poller;

/* One at a time. */
static struct {
    int members, wanted, times_left;
    long long next_at;
} fan;

/* ---- buffers ---- */

static size_t held(const buffer *b) { return b->end - b->start; }

static void *fail(const char *what) {
    perror(what);
    exit(1);
}

static char *reserve(buffer *b, size_t room) {
    if (b->start == b->end) b->start = b->end = 0;
    if (b->capacity - b->end < room && b->start > 0) {
        memmove(b->data, b->data + b->start, held(b));
        b->end -= b->start;
        b->start = 0;
    }
    if (b->capacity - b->end < room) {
        b->capacity = (b->end + room) * 2;
        b->data = realloc(b->data, b->capacity);
        if (!b->data) fail("realloc");
    }
    return b->data + b->end;
}

static void append(buffer *b, const void *data, size_t length) {
    memcpy(reserve(b, length), data, length);
    b->end += length;
}

static void append_text(buffer *b, const char *text) { append(b, text, strlen(text)); }

static void append_slice(buffer *b, slice s) { append(b, s.at, s.length); }

static void clear(buffer *b) { b->start = b->end = 0; }

static slice text_of(const char *text) { return (slice){text, strlen(text)}; }

/* ---- the upgrade: SHA-1 and base64 (RFC 6455, 4.2.2) ---- */

static uint32_t rotate(uint32_t x, int by) { return x << by | x >> (32 - by); }

static void sha1_block(uint32_t h[5], const unsigned char *p) {
    static const uint32_t k[4] = {0x5A827999, 0x6ED9EBA1, 0x8F1BBCDC, 0xCA62C1D6};
    uint32_t w[80], a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
    for (int i = 0; i < 16; i++, p += 4)
        w[i] = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
    for (int i = 16; i < 80; i++) w[i] = rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    for (int i = 0; i < 80; i++) {
        uint32_t f = i < 20   ? (b & c) | (~b & d)
                     : i < 40 ? b ^ c ^ d
                     : i < 60 ? (b & c) | (b & d) | (c & d)
                              : b ^ c ^ d;
        uint32_t next = rotate(a, 5) + f + e + k[i / 20] + w[i];
        e = d, d = c, c = rotate(b, 30), b = a, a = next;
    }
    h[0] += a, h[1] += b, h[2] += c, h[3] += d, h[4] += e;
}

/* For messages of 56 to 119 bytes, as a key of 24 with the GUID of 36 is: two blocks. */
static void sha1(const char *message, size_t length, unsigned char digest[20]) {
    uint32_t h[5] = {0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0};
    unsigned char padded[128] = {0};
    memcpy(padded, message, length);
    padded[length] = 0x80;
    padded[126] = (unsigned char)(length * 8 >> 8);
    padded[127] = (unsigned char)(length * 8);
    sha1_block(h, padded);
    sha1_block(h, padded + 64);
    for (int i = 0; i < 20; i++) digest[i] = (unsigned char)(h[i / 4] >> (24 - 8 * (i % 4)));
}

/* 20 bytes are 28 characters, the last of them padding. */
static void base64_of_digest(const unsigned char digest[20], char text[29]) {
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    unsigned char padded[21] = {0};
    memcpy(padded, digest, 20);
    for (int i = 0; i < 7; i++) {
        uint32_t group =
            (uint32_t)padded[3 * i] << 16 | (uint32_t)padded[3 * i + 1] << 8 | padded[3 * i + 2];
        for (int j = 0; j < 4; j++) text[4 * i + j] = alphabet[group >> (18 - 6 * j) & 63];
    }
    text[27] = '=';
    text[28] = 0;
}

static const char *header_value(const char *head, const char *name) {
    for (const char *line = strstr(head, "\r\n"); line; line = strstr(line + 2, "\r\n"))
        if (!strncasecmp(line + 2, name, strlen(name))) {
            const char *value = line + 2 + strlen(name);
            return value + strspn(value, " \t");
        }
    return NULL;
}

/* Returns -1 for a request that is no upgrade. */
static int upgrade(connection *c) {
    *reserve(&c->in, 1) = 0;
    char *head = c->in.data + c->in.start, *end = strstr(head, "\r\n\r\n");
    if (!end) return 0;
    const char *key = header_value(head, "sec-websocket-key:");
    if (!key || strcspn(key, "\r ") != 24) return -1;
    char keyed[60], accept[29];
    unsigned char digest[20];
    memcpy(keyed, key, 24);
    memcpy(keyed + 24, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11", 36);
    sha1(keyed, sizeof keyed, digest);
    base64_of_digest(digest, accept);
    append_text(&c->out, "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n"
                         "connection: Upgrade\r\nsec-websocket-accept: ");
    append_text(&c->out, accept);
    append_text(&c->out, "\r\n\r\n");
    const char *version = strstr(head, "vsn=2.");
    c->version = version && version < strchr(head, '\r') ? 2 : 1;
    c->in.start += (size_t)(end + 4 - head);
    c->upgraded = 1;
    return 0;
}

/* ---- what is sent ---- */

static void append_frame(buffer *b, enum opcode opcode, const void *data, size_t length) {
    unsigned char head[4] = {(unsigned char)(0x80 | opcode), (unsigned char)length};
    size_t size = 2;
    if (length > 125) {
        head[1] = 126, head[2] = (unsigned char)(length >> 8), head[3] = (unsigned char)length;
        size = 4;
    }
    append(b, head, size);
    append(b, data, length);
}

/* What stands before and behind the payload of a message, its topic at the `%`. */
static const char *const AROUND[][2] = {
    [V2] = {"[null,null,%,\"tick\",", "]"},
    [V1] = {"{\"event\":\"tick\",\"payload\":", ",\"ref\":null,\"topic\":%}"},
    [SUPABASE] = {"{\"event\":\"broadcast\",\"payload\":{\"event\":\"tick\",\"payload\":",
                  ",\"type\":\"broadcast\"},\"ref\":null,\"topic\":%}"},
    [ABSINTHE] = {"{\"event\":\"subscription:data\",\"payload\":{\"result\":{\"data\":",
                  "},\"subscriptionId\":\"bench\"},\"ref\":null,\"topic\":%}"},
};

static void append_around(buffer *b, const char *template, slice topic) {
    const char *place = strchr(template, '%');
    if (!place) {
        append_text(b, template);
        return;
    }
    append(b, template, (size_t)(place - template));
    append_slice(b, topic);
    append_text(b, place + 1);
}

static void append_padding(buffer *b, size_t length) {
    memset(reserve(b, length), 'x', length);
    b->end += length;
}

static void append_json_tick(buffer *b, const subscription *s, const char *fields, size_t size) {
    static buffer text, tail;
    clear(&text), clear(&tail);
    append_around(&text, AROUND[s->form][0], text_of(s->topic));
    append_text(&text, "{");
    append_text(&text, fields);
    append_text(&text, ",\"pad\":\"");
    append_text(&tail, "\"}");
    append_around(&tail, AROUND[s->form][1], text_of(s->topic));
    if (held(&text) + held(&tail) < size)
        append_padding(&text, size - held(&text) - held(&tail));
    append(&text, tail.data, held(&tail));
    append_frame(b, TEXT, text.data, held(&text));
}

/* A broadcast of serializer V2: its kind, two lengths, topic and event, and the payload. */
static void append_binary_tick(buffer *b, const subscription *s, const char *fields, size_t size) {
    static buffer frame;
    size_t topic = strlen(s->topic) - 2;
    clear(&frame);
    append(&frame, (char[]){2, (char)topic, 4}, 3);
    append(&frame, s->topic + 1, topic);
    append_text(&frame, "tick");
    append_text(&frame, fields);
    if (held(&frame) < size) append_padding(&frame, size - held(&frame));
    append_frame(b, BINARY, frame.data, held(&frame));
}

static void append_tick(buffer *b, const subscription *s, const char *fields, size_t size) {
    if (s->form == V2_BINARY)
        append_binary_tick(b, s, fields, size);
    else
        append_json_tick(b, s, fields, size);
}

static void reply(connection *c, const message *m, slice response) {
    static buffer text;
    clear(&text);
    if (c->version == 2) {
        append_text(&text, "["), append_slice(&text, m->join_ref);
        append_text(&text, ","), append_slice(&text, m->ref);
        append_text(&text, ","), append_slice(&text, m->topic);
        append_text(&text, ",\"phx_reply\",{\"response\":"), append_slice(&text, response);
        append_text(&text, ",\"status\":\"ok\"}]");
    } else {
        append_text(&text, "{\"event\":\"phx_reply\",\"payload\":{\"response\":");
        append_slice(&text, response);
        append_text(&text, ",\"status\":\"ok\"},\"ref\":"), append_slice(&text, m->ref);
        append_text(&text, ",\"topic\":"), append_slice(&text, m->topic);
        append_text(&text, "}");
    }
    append_frame(&c->out, TEXT, text.data, held(&text));
}

static void say_closed(connection *c, const message *m) {
    static buffer text;
    clear(&text);
    if (c->version != 2) return; /* Its clients here do not wait for it. */
    append_text(&text, "["), append_slice(&text, m->join_ref);
    append_text(&text, ","), append_slice(&text, m->join_ref);
    append_text(&text, ","), append_slice(&text, m->topic);
    append_text(&text, ",\"phx_close\",{}]");
    append_frame(&c->out, TEXT, text.data, held(&text));
}

/* ---- floods and fans ---- */

static long long now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void start_flood(connection *c, const subscription *s, size_t count, size_t size) {
    clear(&c->block);
    /* Numbers of one length, so that all frames are as long as the first. */
    for (int i = 0; held(&c->block) < BLOCK_SIZE && i < 9000; i++) {
        char fields[32];
        snprintf(fields, sizeof fields, "\"i\":%d", 1000 + i);
        append_tick(&c->block, s, fields, size);
        if (i == 0) c->flood_frame = held(&c->block);
    }
    c->flood_sent = 0;
    c->flood_total = count * c->flood_frame;
}

static void join_fan(connection *c, const subscription *s, int wanted, int times) {
    c->in_fan = 1;
    c->fan = *s;
    fan.members++;
    if (fan.members != wanted) return;
    fan.times_left = times;
    fan.next_at = now() + FAN_EVERY_NS;
}

/* Starts what `text`, a topic or a GraphQL document, asks for. Returns -1 for what cannot be had. */
static int start(connection *c, slice text, subscription *s) {
    char spec[256] = "", kind[16];
    unsigned long first, second;
    if (text.length < sizeof spec) memcpy(spec, text.at, text.length);
    const char *flood = strstr(spec, "flood:"), *fanned = strstr(spec, "fan:");
    if (flood && sscanf(flood, "flood:%15[a-z]:%lu:%lu", kind, &first, &second) == 3) {
        if (c->flood_sent < c->flood_total || second > 65535) return -1;
        if (!strcmp(kind, "binary")) s->form = V2_BINARY;
        start_flood(c, s, first, second);
    } else if (fanned && sscanf(fanned, "fan:%lu:%lu", &first, &second) == 2)
        join_fan(c, s, (int)first, (int)second);
    return 0;
}

/* ---- what is received ---- */

static int equals(slice s, const char *text) {
    return s.length == strlen(text) && !memcmp(s.at, text, s.length);
}

static int begins(slice s, const char *text) {
    return s.length >= strlen(text) && !memcmp(s.at, text, strlen(text));
}

static int contains(slice s, const char *text) {
    return memmem(s.at, s.length, text, strlen(text)) != NULL;
}

/* Takes one JSON value from `rest`, and what separates it from the one before. Empty at the end. */
static slice take_value(slice *rest) {
    const char *at = rest->at, *end = rest->at + rest->length;
    while (at < end && strchr(",: \t\r\n", *at)) at++;
    slice value = {at, 0};
    int quoted = 0, depth = 0;
    for (; at < end; at++) {
        if (*at == '\\') {
            at++;
            continue;
        }
        if (*at == '"') quoted = !quoted;
        if (quoted) continue;
        if (depth == 0 && strchr(",:]}", *at)) break;
        depth += (*at == '[' || *at == '{') - (*at == ']' || *at == '}');
    }
    if (at > end) at = end;
    value.length = (size_t)(at - value.at);
    *rest = (slice){at, (size_t)(end - at)};
    return value;
}

/* Returns -1 for what is no message. */
static int parse(connection *c, slice text, message *m) {
    slice null = {"null", 4}, rest = {text.at + 1, text.length - 1};
    if (text.length < 2) return -1;
    if (c->version == 2) {
        *m = (message){.join_ref = take_value(&rest), .ref = null};
        m->ref = take_value(&rest), m->topic = take_value(&rest);
        m->event = take_value(&rest), m->payload = take_value(&rest);
        return m->payload.length ? 0 : -1;
    }
    *m = (message){null, null, null, {"", 0}, null};
    for (;;) {
        slice key = take_value(&rest), value = take_value(&rest);
        if (!value.length) return m->event.length ? 0 : -1;
        if (equals(key, "\"join_ref\"")) m->join_ref = value;
        if (equals(key, "\"ref\"")) m->ref = value;
        if (equals(key, "\"topic\"")) m->topic = value;
        if (equals(key, "\"event\"")) m->event = value;
        if (equals(key, "\"payload\"")) m->payload = value;
    }
}

/* A GraphQL document, as Absinthe takes it. */
static int answer_document(connection *c, const message *m) {
    subscription s = {ABSINTHE, "\"bench\""};
    if (!contains(m->payload, "subscription")) {
        reply(c, m, text_of("{\"data\":{\"echo\":1}}"));
        return 0;
    }
    reply(c, m, text_of("{\"subscriptionId\":\"bench\"}"));
    return start(c, m->payload, &s);
}

/* Returns -1 when the connection has to end. */
static int answer(connection *c, slice text) {
    message m;
    subscription s = {c->version == 2 ? V2 : V1, ""};
    if (text.length > 60000 || parse(c, text, &m) || m.topic.length >= sizeof s.topic) return -1;
    if (equals(m.event, "\"doc\"")) return answer_document(c, &m);
    int leaves = equals(m.event, "\"unsubscribe\"");
    reply(c, &m, text_of(leaves ? "{\"subscriptionId\":\"bench\"}" : "{}"));
    if (equals(m.event, "\"phx_leave\"")) say_closed(c, &m);
    if (!equals(m.event, "\"phx_join\"")) return 0;
    if (begins(m.topic, "\"realtime:")) s.form = SUPABASE;
    memcpy(s.topic, m.topic.at, m.topic.length);
    return start(c, m.topic, &s);
}

static void unmask(unsigned char *data, size_t length, const unsigned char key[4]) {
    for (size_t i = 0; i < length; i++) data[i] ^= key[i & 3];
}

static int take_frame(connection *c, int opcode, unsigned char *data, size_t length) {
    switch (opcode) {
    case TEXT:
        return answer(c, (slice){(char *)data, length});
    case PING:
    case CLOSE:
        append_frame(&c->out, opcode == PING ? PONG : CLOSE, data, length);
        c->closing = opcode == CLOSE;
        return 0;
    case PONG:
        return 0;
    default:
        return -1;
    }
}

/* Takes every whole frame. Returns -1 when the connection has to end. */
static int take_frames(connection *c) {
    while (!c->closing && held(&c->in) >= 6) {
        unsigned char *frame = (unsigned char *)c->in.data + c->in.start;
        size_t length = frame[1] & 127, head = 6;
        if (length == 127 || !(frame[1] & 0x80)) return -1;
        if (length == 126) {
            head = 8;
            if (held(&c->in) < head) return 0;
            length = (size_t)frame[2] << 8 | frame[3];
        }
        if (held(&c->in) < head + length) return 0;
        unmask(frame + head, length, frame + head - 4);
        c->in.start += head + length;
        if (take_frame(c, frame[0] & 15, frame + head, length)) return -1;
    }
    return 0;
}

/* ---- the loop ---- */

/* What is sent next: what waits, but never in the middle of a flood's frame. */
static slice next_bytes(const connection *c) {
    size_t into = c->flood_frame ? c->flood_sent % c->flood_frame : 0;
    if (held(&c->out) && !into) return (slice){c->out.data + c->out.start, held(&c->out)};
    size_t left = c->flood_total - c->flood_sent;
    if (!left) return (slice){NULL, 0};
    size_t at = c->flood_sent % held(&c->block), length = held(&c->block) - at;
    if (held(&c->out)) length = c->flood_frame - into;
    return (slice){c->block.data + at, length < left ? length : left};
}

static void want(connection *c, int operation, int writable) {
    struct epoll_event event = {.events = EPOLLIN | (writable ? EPOLLOUT : 0), .data.ptr = c};
    if (epoll_ctl(poller, operation, c->fd, &event)) fail("epoll_ctl");
}

/* Returns -1 when the connection is over. */
static int flush(connection *c) {
    for (;;) {
        slice bytes = next_bytes(c);
        if (!bytes.length) return c->closing ? -1 : 0;
        ssize_t sent = send(c->fd, bytes.at, bytes.length, 0);
        if (sent < 0) return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -1;
        if (held(&c->out) && bytes.at == c->out.data + c->out.start)
            c->out.start += (size_t)sent;
        else
            c->flood_sent += (size_t)sent;
    }
}

/* Returns -1 when the connection is over. */
static int serve(connection *c, uint32_t ready) {
    static char chunk[READ_SIZE];
    if (ready & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
        ssize_t got = recv(c->fd, chunk, sizeof chunk, 0);
        if (got == 0 || (got < 0 && errno != EAGAIN && errno != EWOULDBLOCK)) return -1;
        if (got > 0) append(&c->in, chunk, (size_t)got);
        if (!c->upgraded && upgrade(c)) return -1;
        if (c->upgraded && take_frames(c)) return -1;
        if (held(&c->in) > MAX_INPUT) return -1;
    }
    if (flush(c)) return -1;
    int blocked = next_bytes(c).length > 0;
    if (blocked || ready & EPOLLOUT) want(c, EPOLL_CTL_MOD, blocked);
    return 0;
}

static void set_non_blocking(int fd) {
    if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0) fail("fcntl");
}

static int listen_on_loopback(void) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) || listen(fd, 4096) ||
        getsockname(fd, (struct sockaddr *)&address, &size))
        fail("listen");
    set_non_blocking(fd);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

static void accept_all(int listener) {
    int fd, on = 1;
    while ((fd = accept(listener, NULL, NULL)) >= 0) {
        connection *c = calloc(1, sizeof *c);
        if (connection_count == connection_room) {
            connection_room = 2 * connection_room + 64;
            connections = realloc(connections, (size_t)connection_room * sizeof *connections);
        }
        if (!c || !connections) fail("memory");
        set_non_blocking(fd);
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        c->fd = fd, c->place = connection_count;
        connections[connection_count++] = c;
        want(c, EPOLL_CTL_ADD, 0);
    }
}

static void drop(connection *c) {
    connection *last = connections[--connection_count];
    connections[c->place] = last;
    last->place = c->place;
    fan.members -= c->in_fan;
    close(c->fd);
    free(c->in.data), free(c->out.data), free(c->block.data);
    free(c);
}

/* Sends the fan's next message, if it is time. Returns for how many milliseconds there is none. */
static int fan_out(void) {
    if (!fan.times_left) return -1;
    long long at = now();
    if (at < fan.next_at) return (int)((fan.next_at - at) / 1000000 + 1);
    char fields[64];
    snprintf(fields, sizeof fields, "\"at\":%lld", at);
    for (int i = 0; i < connection_count; i++) {
        if (!connections[i]->in_fan) continue;
        append_tick(&connections[i]->out, &connections[i]->fan, fields, 100);
        flush(connections[i]);
    }
    fan.times_left--;
    fan.next_at = at + FAN_EVERY_NS;
    return fan.times_left ? (int)(FAN_EVERY_NS / 1000000) : -1;
}

static void watch(int fd, void *as) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = as};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event)) fail("epoll_ctl");
}

int main(void) {
    static struct epoll_event events[MAX_EVENTS];
    static char input, listening; /* Their addresses tell them from connections. */
    struct rlimit files;
    signal(SIGPIPE, SIG_IGN);
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    poller = epoll_create1(0);
    int listener = listen_on_loopback();
    watch(STDIN_FILENO, &input);
    watch(listener, &listening);
    for (;;) {
        int count = epoll_wait(poller, events, MAX_EVENTS, fan_out());
        if (count < 0 && errno != EINTR) fail("epoll_wait");
        for (int i = 0; i < count; i++) {
            void *which = events[i].data.ptr;
            if (which == &input) return 0;
            if (which == &listening)
                accept_all(listener);
            else if (serve(which, events[i].events))
                drop(which);
        }
    }
}
