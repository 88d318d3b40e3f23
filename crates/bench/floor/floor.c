/* The floor: the least work with which one process can send the same frames to the same clients.
 *
 * It answers the few requests that the load generator makes of a server (a WebSocket upgrade or an event stream, a POST that
 * starts a fountain of tokens, a subscription) and then does nothing but pace, format each frame once, and send() it to every
 * subscriber: one thread, no locks, no allocation while it runs, no queue per client. A stream is a ring of ready bytes and a
 * subscriber an offset into it. The ring is mapped twice in a row, so that what a subscriber is owed is always one piece of
 * memory and one send(). What a server costs above this is what the server itself costs.
 *
 * It is not a server: it trusts its client, knows one workflow, and checks nothing.
 *
 * floor [--listen 127.0.0.1:PORT] [--sse] [--tick-us N] [--history BYTES]
 *   --sse      frames are server-sent events instead of WebSocket frames
 *   --tick-us  wake at multiples of N µs and serve all that is due, as a timer wheel does (default 1000; 0: exactly when due)
 *   --history  bytes of frames kept per stream for subscribers that come late or lag (default 4 MiB)
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { MARKER = 33, BATCH = 10, FLUSH_NS = 40000000, INBOX = 4096, EVENTS = 1024, STREAMS = 65536 };

struct conn {
    int fd, blocked, upgraded;
    struct stream *stream;
    uint64_t sent; /* bytes of the stream's log that have left */
    size_t filled;
    char *inbox; /* only while a request is not yet whole */
};

struct stream {
    char id[130];
    unsigned index;
    uint64_t tokens, next_token, held, sequence;
    uint64_t period_ns, next_ns, held_since_ns;
    size_t token_bytes, buffer_size;
    char *ring, *pending;
    uint64_t head;  /* bytes ever written to the ring */
    uint64_t *ends; /* where frame i + 1 starts, for a subscriber that resumes after i */
    int sealed;
    struct conn **viewers;
    size_t viewer_count, viewer_room;
};

static struct stream *streams[STREAMS];
static struct stream *heap[STREAMS]; /* the streams that run, the one due first on top */
static size_t stream_count, heap_count, history = 4 << 20;
static uint64_t tick_ns = 1000000;
static int epoll_fd, sse;

static void die(const char *what) {
    fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t clock_ns(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- due times: a binary heap --------------------------------------------------------------------------------------- */

static uint64_t due(const struct stream *s) {
    uint64_t flush = s->held ? s->held_since_ns + FLUSH_NS : UINT64_MAX;
    return s->next_token < s->tokens && s->next_ns < flush ? s->next_ns : flush;
}

static void sift_down(size_t i) {
    for (;;) {
        size_t least = i, left = 2 * i + 1, right = left + 1;
        if (left < heap_count && due(heap[left]) < due(heap[least])) least = left;
        if (right < heap_count && due(heap[right]) < due(heap[least])) least = right;
        if (least == i) return;
        struct stream *swap = heap[i];
        heap[i] = heap[least], heap[least] = swap;
        i = least;
    }
}

static void heap_push(struct stream *s) {
    size_t i = heap_count++;
    heap[i] = s;
    while (i > 0 && due(heap[i]) < due(heap[(i - 1) / 2])) {
        struct stream *swap = heap[i];
        heap[i] = heap[(i - 1) / 2], heap[(i - 1) / 2] = swap;
        i = (i - 1) / 2;
    }
}

/* ---- sending -------------------------------------------------------------------------------------------------------- */

static void watch(struct conn *c, int op, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = c};
    if (epoll_ctl(epoll_fd, op, c->fd, &event) < 0) die("epoll_ctl");
}

static void hang_up(struct conn *c) {
    if (c->stream) {
        struct stream *s = c->stream;
        for (size_t i = 0; i < s->viewer_count; i++)
            if (s->viewers[i] == c) {
                s->viewers[i] = s->viewers[--s->viewer_count];
                break;
            }
    }
    close(c->fd);
    free(c->inbox);
    c->fd = -1; /* freed by the caller's loop, never in the middle of one over viewers */
}

/* Sends all that a subscriber is owed; 0 when the connection is gone. */
static int serve(struct conn *c) {
    struct stream *s = c->stream;
    if (s->head - c->sent > history) return 0; /* lagged out of the ring: a lost subscriber, and the client says so */
    size_t owed = s->head - c->sent;
    if (owed == 0) return 1;
    ssize_t n = send(c->fd, s->ring + c->sent % history, owed, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno != EAGAIN) return 0;
    if (n > 0) c->sent += (uint64_t)n;
    int blocked = n < 0 || (size_t)n < owed;
    if (blocked != c->blocked) {
        c->blocked = blocked;
        watch(c, EPOLL_CTL_MOD, blocked ? EPOLLIN | EPOLLOUT : EPOLLIN);
    }
    return 1;
}

static void serve_all(struct stream *s) {
    for (size_t i = 0; i < s->viewer_count; i++)
        if (!s->viewers[i]->blocked && !serve(s->viewers[i])) hang_up(s->viewers[i--]);
}

static void answer(struct conn *c, const char *bytes, size_t length) {
    if (send(c->fd, bytes, length, MSG_NOSIGNAL) != (ssize_t)length) fprintf(stderr, "floor: an answer was cut short\n");
}

/* ---- frames --------------------------------------------------------------------------------------------------------- */

static char *hex(char *to, uint64_t value, int digits) {
    for (int i = digits - 1; i >= 0; i--, value >>= 4) to[i] = "0123456789abcdef"[value & 15];
    return to + digits;
}

static char *decimal(char *to, uint64_t value, int digits) {
    for (int i = digits - 1; i >= 0; i--, value /= 10) to[i] = (char)('0' + value % 10);
    return to + digits;
}

static char *text(char *to, const char *from) {
    size_t n = strlen(from);
    memcpy(to, from, n);
    return to + n;
}

static char *number(char *to, uint64_t value) {
    int digits = 1;
    for (uint64_t rest = value; rest >= 10; rest /= 10) digits++;
    return decimal(to, value, digits);
}

/* Writes one frame with the envelope of the native protocol around `content`, and moves the head. */
static void frame(struct stream *s, const char *class, const char *before, const char *content, size_t length,
                  const char *after) {
    char json[1024], *end = json;
    uint64_t sequence = ++s->sequence;
    end = text(text(text(end, "{\"type\":\""), class), "\",\"executionId\":\"");
    end = text(text(end, s->id), "\",\"nodeId\":\"pour\",\"sequence\":");
    end = text(number(end, sequence), ",\"position\":\"");
    char *position = end;
    end = text(decimal(end, 1, 16), "_");
    end = text(decimal(end, sequence, 16), "\",\"timestamp\":\"2026-01-01T00:00:00.000Z\",\"payload\":{");
    end = text(end, before);
    size_t head = (size_t)(end - json), tail = strlen(after), all = head + length + tail;
    char *start = s->ring + s->head % history, *to = start;
    if (sse) {
        to = text(to, "id: ");
        memcpy(to, position, 33);
        to = text(to + 33, "\ndata: ");
    } else {
        *to++ = (char)0x81;
        if (all < 126) *to++ = (char)all;
        else if (all < 65536) *to++ = 126, *to++ = (char)(all >> 8), *to++ = (char)all;
        else for (int i = (*to++ = 127, 56); i >= 0; i -= 8) *to++ = (char)(all >> i);
    }
    memcpy(to, json, head);
    memcpy(to + head, content, length);
    memcpy(to + head + length, after, tail);
    to += all;
    if (sse) to = text(to, "\n\n");
    s->head += (uint64_t)(to - start);
    s->ends[sequence] = s->head;
}

static void flush(struct stream *s) {
    uint64_t first = s->next_token - s->held;
    for (uint64_t done = 0; done < s->held;) {
        uint64_t count = s->held - done < BATCH ? s->held - done : BATCH;
        char after[128], *end = text(after, "\",\"index\":");
        end = text(number(end, first + done), ",\"count\":");
        *text(number(end, count), ",\"visit\":1,\"attempt\":1,\"message\":\"m1\"}}") = 0;
        frame(s, "token", "\"content\":\"", s->pending + done * s->token_bytes, count * s->token_bytes, after);
        done += count;
    }
    s->held = 0;
}

static void seal(struct stream *s, const char *status) {
    flush(s);
    frame(s, "status", "\"status\":\"", status, strlen(status), "\"}}");
    s->sealed = 1;
}

/* Makes the tokens that are due, and flushes when enough of them wait or one has waited long enough. */
static void pour(struct stream *s, uint64_t now) {
    uint64_t before = s->head;
    while (s->next_token < s->tokens && s->next_ns <= now) {
        char *token = s->pending + s->held * s->token_bytes, *to = text(token, "~T");
        to = hex(hex(hex(to, s->index, 6), s->next_token, 8), clock_ns(CLOCK_REALTIME), 16);
        *to = '~';
        memset(token + MARKER, 'x', s->token_bytes - MARKER);
        if (s->held++ == 0) s->held_since_ns = now;
        s->next_ns += s->period_ns;
        if (s->next_token++ == 0 || s->held >= s->buffer_size) flush(s);
    }
    if (s->held && now >= s->held_since_ns + FLUSH_NS) flush(s);
    if (s->next_token == s->tokens && !s->sealed) seal(s, "completed");
    if (s->head != before) serve_all(s);
}

/* ---- requests ------------------------------------------------------------------------------------------------------- */

static struct stream *find(const char *id, size_t length) {
    for (size_t i = stream_count; i-- > 0;)
        if (strlen(streams[i]->id) == length && memcmp(streams[i]->id, id, length) == 0) return streams[i];
    return NULL;
}

static double field(const char *body, const char *name, double otherwise) {
    char key[64];
    snprintf(key, sizeof key, "\"%s\":", name);
    const char *at = strstr(body, key);
    return at ? strtod(at + strlen(key), NULL) : otherwise;
}

static size_t string_field(const char *body, const char *name, const char **value) {
    char key[64];
    snprintf(key, sizeof key, "\"%s\":\"", name);
    const char *at = strstr(body, key);
    if (!at) return 0;
    *value = at + strlen(key);
    return strcspn(*value, "\"");
}

/* The same pages twice in a row, so that a read over the end continues at the start. */
static char *double_mapped(size_t size) {
    int fd = memfd_create("ring", 0);
    if (fd < 0 || ftruncate(fd, (off_t)size) < 0) die("memfd");
    char *at = mmap(NULL, 2 * size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) die("mmap");
    for (int half = 0; half < 2; half++)
        if (mmap(at + half * size, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED) die("mmap");
    close(fd);
    return at;
}

static void start(struct conn *c, const char *body) {
    if (stream_count == STREAMS) die("too many streams");
    struct stream *s = calloc(1, sizeof *s);
    const char *id = NULL;
    size_t length = string_field(body, "executionId", &id);
    if (length == 0 || length > 128) snprintf(s->id, sizeof s->id, "floor-%zu", stream_count);
    else memcpy(s->id, id, length);
    double rate = field(body, "tokens_per_second", 0);
    s->index = (unsigned)field(body, "index", 0);
    s->tokens = (uint64_t)field(body, "tokens", 1);
    s->token_bytes = (size_t)field(body, "token_bytes", MARKER);
    if (s->token_bytes < MARKER) s->token_bytes = MARKER;
    s->buffer_size = (size_t)field(body, "buffer_size", 50);
    if (s->buffer_size < 1) s->buffer_size = 1;
    s->period_ns = rate > 0 ? (uint64_t)(1e9 / rate) : 0;
    s->next_ns = clock_ns(CLOCK_MONOTONIC);
    s->ring = double_mapped(history);
    s->pending = malloc(s->buffer_size * s->token_bytes);
    s->ends = calloc(s->tokens + 2, sizeof *s->ends);
    if (!s->pending || !s->ends) die("malloc");
    streams[stream_count++] = s;
    heap_push(s);
    char json[256], head[512];
    int json_length = snprintf(json, sizeof json, "{\"executionId\":\"%s\"}", s->id);
    int n = snprintf(head, sizeof head,
                     "HTTP/1.1 202 Accepted\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s", json_length, json);
    answer(c, head, (size_t)n);
}

static void cancel(struct stream *s) {
    s->tokens = s->next_token;
    seal(s, "cancelled");
    serve_all(s);
    for (size_t i = 0; i < heap_count; i++)
        if (heap[i] == s) sift_down(i);
}

static int subscribe(struct conn *c, struct stream *s, const char *from) {
    if (s->viewer_count == s->viewer_room) {
        s->viewer_room = s->viewer_room ? 2 * s->viewer_room : 16;
        s->viewers = realloc(s->viewers, s->viewer_room * sizeof *s->viewers);
        if (!s->viewers) die("realloc");
    }
    s->viewers[s->viewer_count++] = c;
    c->stream = s;
    uint64_t after = from && strcspn(from, "_") == 16 ? strtoull(from + 17, NULL, 10) : 0;
    c->sent = after <= s->sequence ? s->ends[after] : s->head;
    return serve(c);
}

/* One client frame, unmasked in place: a subscription. Pongs and the rest need no answer. */
static int websocket_message(struct conn *c, char *body) {
    const char *id, *from = NULL;
    size_t length = string_field(body, "executionId", &id);
    struct stream *s = length ? find(id, length) : NULL;
    if (!s || c->stream) return 1;
    char json[512], out[600];
    int n = snprintf(json, sizeof json,
                     "{\"type\":\"subscription_confirmed\",\"replyTo\":\"s\",\"payload\":{\"executionId\":\"%s\","
                     "\"subscription\":\"%s\",\"state\":\"running\"}}", s->id, s->id);
    out[0] = (char)0x81, out[1] = 126, out[2] = (char)(n >> 8), out[3] = (char)n;
    memcpy(out + 4, json, (size_t)n);
    answer(c, out, (size_t)n + 4);
    return subscribe(c, s, string_field(body, "from", &from) ? from : NULL);
}

static int websocket_input(struct conn *c) {
    for (;;) {
        unsigned char *in = (unsigned char *)c->inbox;
        size_t header = c->filled < 2 ? 2 : (in[1] & 127) == 126 ? 8 : 6;
        if (c->filled < header) return 1;
        size_t length = header == 8 ? (size_t)in[2] << 8 | in[3] : (size_t)(in[1] & 127);
        if (length >= 127 && header == 6) return 0;
        size_t all = header + length;
        if (all >= INBOX) return 0;
        if (c->filled < all) return 1;
        for (size_t i = 0; i < length; i++) in[header + i] ^= in[header - 4 + i % 4];
        char kept = c->inbox[all];
        c->inbox[all] = 0;
        int opcode = in[0] & 15;
        if (opcode == 8 || (opcode == 1 && !websocket_message(c, c->inbox + header))) return 0;
        c->inbox[all] = kept;
        memmove(c->inbox, c->inbox + all, c->filled -= all);
    }
}

static int http_input(struct conn *c) {
    while (!c->upgraded) {
        c->inbox[c->filled] = 0;
        char *end = strstr(c->inbox, "\r\n\r\n");
        if (!end) return c->filled < INBOX - 1;
        size_t head = (size_t)(end + 4 - c->inbox), body = 0;
        char *length = strcasestr(c->inbox, "\r\ncontent-length:");
        if (length && length < end) body = strtoul(length + 17, NULL, 10);
        if (head + body >= INBOX) return 0;
        if (c->filled < head + body) return 1;
        if (strncmp(c->inbox, "GET /ws ", 8) == 0) {
            /* The answer to the key of RFC 6455's own example, which is the one that the load generator sends. */
            static const char upgrade[] = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
                                          "sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
            answer(c, upgrade, sizeof upgrade - 1);
            c->upgraded = 1;
        } else if (strncmp(c->inbox, "GET /executions/", 16) == 0) {
            static const char stream[] = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
            const char *id = c->inbox + 16, *from = strstr(id, "?from=");
            struct stream *s = find(id, strcspn(id, "/"));
            if (!s) return 0;
            answer(c, stream, sizeof stream - 1);
            c->upgraded = 2;
            if (!subscribe(c, s, from && from < strchr(id, '\r') ? from + 6 : NULL)) return 0;
        } else if (strncmp(c->inbox, "POST /executions/", 17) == 0) {
            struct stream *s = find(c->inbox + 17, strcspn(c->inbox + 17, "/"));
            if (s && !s->sealed) cancel(s);
            static const char accepted[] = "HTTP/1.1 202 Accepted\r\ncontent-length: 2\r\n\r\n{}";
            answer(c, accepted, sizeof accepted - 1);
        } else if (strncmp(c->inbox, "POST /workflows/", 16) == 0) {
            char kept = c->inbox[head + body];
            c->inbox[head + body] = 0;
            start(c, c->inbox + head);
            c->inbox[head + body] = kept;
        } else
            return 0;
        memmove(c->inbox, c->inbox + head + body, c->filled -= head + body);
    }
    return c->upgraded == 1 ? websocket_input(c) : 1;
}

static int input(struct conn *c) {
    if (!c->inbox && !(c->inbox = malloc(INBOX))) die("malloc");
    ssize_t n = recv(c->fd, c->inbox + c->filled, INBOX - 1 - c->filled, MSG_DONTWAIT);
    if (n == 0 || (n < 0 && errno != EAGAIN)) return 0;
    if (n > 0) c->filled += (size_t)n;
    if (!(c->upgraded == 1 ? websocket_input(c) : http_input(c))) return 0;
    if (c->filled == 0) free(c->inbox), c->inbox = NULL;
    return 1;
}

/* ---- the loop ------------------------------------------------------------------------------------------------------- */

static void accept_all(int listener) {
    int fd, on = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        struct conn *c = calloc(1, sizeof *c);
        if (!c) die("calloc");
        c->fd = fd;
        watch(c, EPOLL_CTL_ADD, EPOLLIN);
    }
}

/* Pours all streams that are due, and gives the nanoseconds until the next one; UINT64_MAX when nothing runs. */
static uint64_t pour_due(void) {
    while (heap_count) {
        uint64_t now = clock_ns(CLOCK_MONOTONIC), next = due(heap[0]);
        if (next == UINT64_MAX) break; /* nothing but cancelled streams */
        if (next > now) {
            if (tick_ns) next = (next + tick_ns - 1) / tick_ns * tick_ns;
            return next > now ? next - now : 0;
        }
        struct stream *s = heap[0];
        pour(s, now);
        if (s->sealed) heap[0] = heap[--heap_count];
        sift_down(0);
    }
    return UINT64_MAX;
}

int main(int argc, char **argv) {
    unsigned port = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--sse") == 0) sse = 1;
        else if (i + 1 == argc) return fprintf(stderr, "floor: %s needs a value\n", argv[i]), 2;
        else if (strcmp(argv[i], "--listen") == 0) port = (unsigned)atoi(strchr(argv[++i], ':') ? strchr(argv[i], ':') + 1 : "0");
        else if (strcmp(argv[i], "--tick-us") == 0) tick_ns = strtoull(argv[++i], NULL, 10) * 1000;
        else if (strcmp(argv[i], "--history") == 0) history = strtoull(argv[++i], NULL, 10);
        else return fprintf(stderr, "floor: unknown option %s\n", argv[i]), 2;
    }
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    history = (history + page - 1) / page * page;
    if (history < 65536) history = 65536;

    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&address, length) < 0 || listen(listener, 4096) < 0) die("listen");
    getsockname(listener, (struct sockaddr *)&address, &length);
    printf("listening on http://127.0.0.1:%d\n", ntohs(address.sin_port));
    fflush(stdout);

    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL}, events[EVENTS];
    if (epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event) < 0) die("epoll");
    for (;;) {
        uint64_t wait_ns = pour_due();
        struct timespec wait = {(time_t)(wait_ns / 1000000000u), (long)(wait_ns % 1000000000u)};
        int n = (int)syscall(SYS_epoll_pwait2, epoll_fd, events, EVENTS, wait_ns == UINT64_MAX ? NULL : &wait, NULL, 8);
        if (n < 0 && errno != EINTR) die("epoll_pwait2");
        for (int i = 0; i < n; i++) {
            struct conn *c = events[i].data.ptr;
            if (!c) accept_all(listener);
            else if (c->fd >= 0) {
                int alive = !(events[i].events & (EPOLLERR | EPOLLHUP));
                if (alive && events[i].events & EPOLLOUT && c->stream) alive = serve(c);
                if (alive && events[i].events & EPOLLIN) alive = input(c);
                if (!alive) hang_up(c), free(c);
            }
        }
    }
}
