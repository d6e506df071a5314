/* A Phoenix channel server that costs next to nothing, so that what is measured is the client.
 *
 * It accepts every topic and answers every push with ok. The event "flood" with {"n": N, "size": S}
 * is answered by N broadcasts "tick" of S bytes each, encoded before the first of them is sent, then
 * by a push "flood_done" and the reply. V2 text frames only. It prints its port and ends when its
 * standard input does, so that it never outlives whoever started it.
 */
#define _POSIX_C_SOURCE 200809L
#ifdef __APPLE__
#define _DARWIN_C_SOURCE
#endif
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_CONNECTIONS 64
#define READ_SIZE (256 * 1024)
#define MAX_INPUT (1024 * 1024)

enum opcode { TEXT = 0x1, CLOSE = 0x8, PING = 0x9, PONG = 0xA };

typedef struct {
    char *data;
    size_t start, end, capacity;
} buffer;

typedef struct {
    int fd;
    int upgraded;
    int closing;
    buffer in, out;
    size_t before_flood; /* bytes of `out` that are older than the flood */
    size_t flood_sent, flood_left;
} connection;

typedef struct {
    const char *at;
    size_t length;
} slice;

/* The last flood that was asked for, kept: encoding it must not be part of what is timed. There is
 * one, so only one client at a time may ask for another. */
static buffer flood;
static long flood_count, flood_size;
static char flood_topic[256];

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
    c->in.start += (size_t)(end + 4 - head);
    c->upgraded = 1;
    return 0;
}

/* ---- what is sent ---- */

static void append_header(buffer *b, enum opcode opcode, size_t length) {
    unsigned char head[4] = {(unsigned char)(0x80 | opcode), (unsigned char)length};
    size_t size = 2;
    if (length > 125) {
        head[1] = 126, head[2] = (unsigned char)(length >> 8), head[3] = (unsigned char)length;
        size = 4;
    }
    append(b, head, size);
}

/* A frame of up to 65,535 bytes: what a client sends here is never larger than a topic and refs. */
static void send_message(connection *c, slice join_ref, slice ref, slice topic, const char *rest) {
    size_t length = 4 + join_ref.length + ref.length + topic.length + strlen(rest);
    append_header(&c->out, TEXT, length);
    append_text(&c->out, "[");
    append_slice(&c->out, join_ref);
    append_text(&c->out, ",");
    append_slice(&c->out, ref);
    append_text(&c->out, ",");
    append_slice(&c->out, topic);
    append_text(&c->out, ",");
    append_text(&c->out, rest);
}

static void encode_flood(slice topic, long count, long size) {
    flood.start = flood.end = 0;
    for (long i = 0; i < count; i++) {
        char head[512], tail[] = "\"}]";
        int used = snprintf(head, sizeof head, "[null,null,%.*s,\"tick\",{\"i\":%ld,\"pad\":\"",
                            (int)topic.length, topic.at, i);
        long pad = size - used - (long)sizeof tail + 1;
        if (pad < 0) pad = 0;
        append_header(&flood, TEXT, (size_t)(used + pad) + sizeof tail - 1);
        append(&flood, head, (size_t)used);
        memset(reserve(&flood, (size_t)pad), 'x', (size_t)pad);
        flood.end += (size_t)pad;
        append(&flood, tail, sizeof tail - 1);
    }
    flood_count = count, flood_size = size;
    memcpy(flood_topic, topic.at, topic.length);
    flood_topic[topic.length] = 0;
}

/* ---- what is received ---- */

static int equals(slice s, const char *text) {
    return s.length == strlen(text) && !memcmp(s.at, text, s.length);
}

/* The next element of the array that `rest` is in the middle of, as it is written; empty at the end. */
static slice next_element(slice *rest) {
    const char *at = rest->at, *end = rest->at + rest->length;
    while (at < end && (*at == '[' || *at == ',' || *at == ' ')) at++;
    slice element = {at, 0};
    int quoted = 0;
    for (; at < end && (quoted || (*at != ',' && *at != ']')); at++) {
        if (*at == '"') quoted = !quoted;
        if (*at == '\\') at++;
    }
    if (at > end) at = end;
    element.length = (size_t)(at - element.at);
    rest->length = (size_t)(end - at);
    rest->at = at;
    return element;
}

static long number_after(slice text, const char *key) {
    size_t length = strlen(key);
    for (size_t i = 0; i + length < text.length; i++)
        if (!memcmp(text.at + i, key, length)) return strtol(text.at + i + length, NULL, 10);
    return 0;
}

/* Returns -1 for what it cannot serve: two floods at once, or one of frames above 65,535 bytes. */
static int start_flood(connection *c, slice join_ref, slice topic, slice payload) {
    long count = number_after(payload, "\"n\":"), size = number_after(payload, "\"size\":");
    if (c->flood_left || count < 1 || size > 65535 || topic.length > 255) return -1;
    if (count != flood_count || size != flood_size || !equals(topic, flood_topic))
        encode_flood(topic, count, size);
    c->before_flood = held(&c->out);
    c->flood_sent = 0;
    c->flood_left = held(&flood);
    send_message(c, join_ref, (slice){"null", 4}, topic, "\"flood_done\",{}]");
    return 0;
}

/* Returns -1 when the connection has to end. */
static int answer(connection *c, slice text) {
    slice rest = text, join_ref = next_element(&rest), ref = next_element(&rest),
          topic = next_element(&rest), event = next_element(&rest);
    if (!event.length || text.length > 60000) return -1;
    if (equals(event, "\"flood\"") && start_flood(c, join_ref, topic, rest)) return -1;
    send_message(c, join_ref, ref, topic, "\"phx_reply\",{\"response\":{},\"status\":\"ok\"}]");
    if (equals(event, "\"phx_leave\""))
        send_message(c, join_ref, join_ref, topic, "\"phx_close\",{}]");
    return 0;
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
        append_header(&c->out, opcode == PING ? PONG : CLOSE, length);
        append(&c->out, data, length);
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

static int flush(connection *c) {
    for (;;) {
        int flooding = c->flood_left && !c->before_flood;
        size_t length = flooding ? c->flood_left : c->flood_left ? c->before_flood : held(&c->out);
        if (!length) return c->closing ? -1 : 0;
        const char *from =
            flooding ? flood.data + c->flood_sent : c->out.data + c->out.start;
        ssize_t sent = send(c->fd, from, length, 0);
        if (sent < 0) return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -1;
        if (flooding) {
            c->flood_sent += (size_t)sent, c->flood_left -= (size_t)sent;
            continue;
        }
        if (c->flood_left) c->before_flood -= (size_t)sent;
        c->out.start += (size_t)sent;
    }
}

/* Returns -1 when the connection is over. */
static int serve(connection *c, short ready) {
    if (ready & (POLLIN | POLLHUP | POLLERR)) {
        ssize_t got = recv(c->fd, reserve(&c->in, READ_SIZE), READ_SIZE, 0);
        if (got == 0 || (got < 0 && errno != EAGAIN && errno != EWOULDBLOCK)) return -1;
        if (got > 0) c->in.end += (size_t)got;
        if (!c->upgraded && upgrade(c)) return -1;
        if (c->upgraded && take_frames(c)) return -1;
        if (held(&c->in) > MAX_INPUT) return -1;
    }
    return flush(c);
}

static void set_non_blocking(int fd) {
    if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0) fail("fcntl");
}

static int listen_on_loopback(void) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) || listen(fd, 16) ||
        getsockname(fd, (struct sockaddr *)&address, &size))
        fail("listen");
    set_non_blocking(fd);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

static void accept_into(connection *connections, int *count, int listener) {
    int fd = accept(listener, NULL, NULL), on = 1;
    if (fd < 0) return;
    if (*count == MAX_CONNECTIONS) {
        close(fd);
        return;
    }
    set_non_blocking(fd);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    memset(&connections[*count], 0, sizeof *connections);
    connections[(*count)++].fd = fd;
}

static void drop(connection *connections, int *count, int i) {
    close(connections[i].fd);
    free(connections[i].in.data);
    free(connections[i].out.data);
    connections[i] = connections[--*count];
}

int main(void) {
    static connection connections[MAX_CONNECTIONS];
    struct pollfd polled[MAX_CONNECTIONS + 2];
    int count = 0;
    signal(SIGPIPE, SIG_IGN);
    polled[0] = (struct pollfd){.fd = STDIN_FILENO, .events = POLLIN};
    polled[1] = (struct pollfd){.fd = listen_on_loopback(), .events = POLLIN};
    for (;;) {
        for (int i = 0; i < count; i++) {
            connection *c = &connections[i];
            short events = POLLIN | (c->flood_left || held(&c->out) ? POLLOUT : 0);
            polled[i + 2] = (struct pollfd){.fd = c->fd, .events = events};
        }
        if (poll(polled, (nfds_t)count + 2, -1) < 0 && errno != EINTR) fail("poll");
        if (polled[0].revents) return 0;
        /* Backwards: the place of one that is over is taken by the last, which is served by then. */
        for (int i = count - 1; i >= 0; i--)
            if (polled[i + 2].revents && serve(&connections[i], polled[i + 2].revents))
                drop(connections, &count, i);
        if (polled[1].revents) accept_into(connections, &count, polled[1].fd);
    }
}
