#include "net/ws_head.h"

#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdint.h>
#include <stdio.h>
#include <strings.h>

#include "base/mem.h"

enum { KEY_LEN = 24, ACCEPT_LEN = 28 };

/* What the headers said. */
struct headers {
    struct str host, key, version, origin, content_length;
    bool upgrade, connection, transfer_encoding;
    bool offers_mqtt, offers_mqtt31;
    bool repeated; /* something that must be there once */
};

size_t ws_head_end(struct str bytes, size_t *from)
{
    size_t start = *from > 3 ? *from - 3 : 0;
    const char *end = memmem(bytes.ptr + start, bytes.len - start, "\r\n\r\n", 4);
    *from = bytes.len;
    return end ? (size_t)(end - bytes.ptr) + 4 : 0;
}

static bool is_token_char(unsigned char c)
{
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c));
}

static bool same(struct str s, const char *word)
{
    return s.len == strlen(word) && strncasecmp(s.ptr, word, s.len) == 0;
}

static struct str trimmed(struct str s)
{
    while (s.len > 0 && (s.ptr[0] == ' ' || s.ptr[0] == '\t')) {
        s.ptr++;
        s.len--;
    }
    while (s.len > 0 && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t'))
        s.len--;
    return s;
}

/* Cuts off what is before the separator; the rest stays in *rest. */
static struct str cut(struct str *rest, char separator)
{
    const char *at = rest->len ? memchr(rest->ptr, separator, rest->len) : NULL;
    struct str first = {rest->ptr, at ? (size_t)(at - rest->ptr) : rest->len};
    size_t skip = at ? first.len + 1 : first.len;
    rest->ptr += skip;
    rest->len -= skip;
    return first;
}

static bool list_has(struct str list, const char *word)
{
    while (list.len > 0) {
        if (same(trimmed(cut(&list, ',')), word))
            return true;
    }
    return false;
}

static void once(struct headers *h, struct str *field, struct str value)
{
    if (field->ptr)
        h->repeated = true;
    *field = value;
}

/* The sub-protocol's name is compared exactly: it is an identifier of MQTT's. */
static void note_protocols(struct headers *h, struct str list)
{
    while (list.len > 0) {
        struct str item = trimmed(cut(&list, ','));
        h->offers_mqtt |= str_eq(item, STR("mqtt"));
        h->offers_mqtt31 |= str_eq(item, STR("mqttv3.1"));
    }
}

static void note_header(struct headers *h, struct str name, struct str value)
{
    if (same(name, "host"))
        once(h, &h->host, value);
    else if (same(name, "upgrade"))
        h->upgrade |= list_has(value, "websocket");
    else if (same(name, "connection"))
        h->connection |= list_has(value, "upgrade");
    else if (same(name, "sec-websocket-key"))
        once(h, &h->key, value);
    else if (same(name, "sec-websocket-version"))
        once(h, &h->version, value);
    else if (same(name, "sec-websocket-protocol"))
        note_protocols(h, value);
    else if (same(name, "origin"))
        once(h, &h->origin, value);
    else if (same(name, "content-length"))
        once(h, &h->content_length, value);
    else if (same(name, "transfer-encoding"))
        h->transfer_encoding = true;
}

static const char *parse_header(struct headers *h, struct str line)
{
    struct str value = line;
    struct str name = cut(&value, ':');

    if (name.len == 0 || name.len == line.len)
        return "a header line has no name or no colon";
    for (size_t i = 0; i < name.len; i++) {
        if (!is_token_char((unsigned char)name.ptr[i]))
            return "a header name has a character that is not allowed there";
    }
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.ptr[i];
        if ((c < ' ' && c != '\t') || c == 0x7f)
            return "a header value has a control character";
    }
    note_header(h, name, trimmed(value));
    return NULL;
}

/* "GET /mqtt HTTP/1.1" */
static int parse_request_line(struct ws_request *out, struct str line, const char **why)
{
    struct str rest = line;
    struct str method = cut(&rest, ' ');
    struct str target = cut(&rest, ' ');

    for (size_t i = 0; i < line.len; i++) {
        if ((unsigned char)line.ptr[i] < ' ' || line.ptr[i] == 0x7f) {
            *why = "the request line has a control character";
            return 400;
        }
    }
    if (target.len == 0 || target.ptr[0] != '/' || rest.len != 8 ||
        !str_starts(rest, STR("HTTP/"))) {
        *why = "this is not an HTTP request";
        return 400;
    }
    if (!str_eq(rest, STR("HTTP/1.1"))) {
        *why = "only HTTP/1.1 is spoken here";
        return 505;
    }
    if (!str_eq(method, STR("GET"))) {
        *why = "only GET is answered here";
        return 405;
    }
    out->path = cut(&target, '?');
    return 0;
}

static bool is_key(struct str key)
{
    unsigned char decoded[KEY_LEN];

    return key.len == KEY_LEN && key.ptr[KEY_LEN - 1] == '=' && key.ptr[KEY_LEN - 2] == '=' &&
           key.ptr[KEY_LEN - 3] != '=' &&
           EVP_DecodeBlock(decoded, (const unsigned char *)key.ptr, KEY_LEN) == 18;
}

static bool origin_allowed(struct str origin, const struct ws_rules *rules)
{
    if (rules->origins.count == 0 || !origin.ptr)
        return true; /* who is no browser sends none */
    for (size_t i = 0; i < rules->origins.count; i++) {
        const char *item = rules->origins.items[i];
        if (strcmp(item, "*") == 0 || same(origin, item))
            return true;
    }
    return false;
}

static int refuse(int status, const char *text, const char **why)
{
    *why = text;
    return status;
}

static int judge(struct ws_request *out, const struct headers *h, const struct ws_rules *rules,
                 const char **why)
{
    if (h->repeated)
        return refuse(400, "a header that may occur once is there twice", why);
    if (h->host.len == 0)
        return refuse(400, "there is no Host header", why);
    if (h->transfer_encoding || (h->content_length.ptr && !str_eq(h->content_length, STR("0"))))
        return refuse(400, "a request for a WebSocket has no body", why);
    if (!str_eq(out->path, rules->path))
        return refuse(404, "no WebSocket is served at this path", why);
    if (!h->upgrade || !h->connection)
        return refuse(426, "this is an MQTT broker; ask for an upgrade to WebSocket", why);
    if (!str_eq(h->version, STR("13")))
        return refuse(426, "only WebSocket version 13 is spoken here", why);
    if (!is_key(h->key))
        return refuse(400, "Sec-WebSocket-Key is missing or malformed", why);
    if (!origin_allowed(h->origin, rules))
        return refuse(403, "pages from this origin may not connect", why);
    /* [MQTT-6.0.0-3] the client must offer it, [MQTT-6.0.0-4] the server must choose it */
    if (!h->offers_mqtt && !h->offers_mqtt31)
        return refuse(400, "the sub-protocol \"mqtt\" is not offered", why);
    out->host = h->host;
    out->key = h->key;
    out->origin = h->origin;
    out->protocol = h->offers_mqtt ? "mqtt" : "mqttv3.1";
    return 101;
}

/* The next line without its CRLF; false at a bare CR or LF. */
static bool next_line(struct str *rest, struct str *line)
{
    const char *end = memmem(rest->ptr, rest->len, "\r\n", 2);
    if (!end)
        return false;
    *line = (struct str){rest->ptr, (size_t)(end - rest->ptr)};
    rest->ptr = end + 2;
    rest->len -= line->len + 2;
    return true;
}

int ws_head_parse(struct ws_request *out, struct str head, const struct ws_rules *rules,
                  const char **why)
{
    struct headers h = {0};
    struct str rest = head, line;
    int status;

    *out = (struct ws_request){0};
    if (!next_line(&rest, &line))
        return refuse(400, "this is not an HTTP request", why);
    if ((status = parse_request_line(out, line, why)) != 0)
        return status;
    while (next_line(&rest, &line) && line.len > 0) {
        const char *wrong = parse_header(&h, line);
        if (wrong)
            return refuse(400, wrong, why);
    }
    return judge(out, &h, rules, why);
}

/* Answers */

static const char *status_text(int status)
{
    switch (status) {
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 426:
        return "Upgrade Required";
    case 431:
        return "Request Header Fields Too Large";
    case 505:
        return "HTTP Version Not Supported";
    default:
        return "Bad Request";
    }
}

static const char *extra_headers(int status)
{
    if (status == 426)
        return "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n";
    return status == 405 ? "Allow: GET\r\n" : "";
}

static void accept_key(struct str key, char out[ACCEPT_LEN + 1])
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    unsigned char text[KEY_LEN + sizeof guid], digest[SHA_DIGEST_LENGTH];

    ASSERT(key.len == KEY_LEN);
    memcpy(text, key.ptr, KEY_LEN);
    memcpy(text + KEY_LEN, guid, sizeof guid - 1);
    SHA1(text, KEY_LEN + sizeof guid - 1, digest);
    EVP_EncodeBlock((unsigned char *)out, digest, sizeof digest);
}

size_t ws_head_answer(char out[WS_ANSWER_MAX], int status, const char *why,
                      const struct ws_request *request)
{
    int n;

    if (status == 101) {
        char accept[ACCEPT_LEN + 1];
        accept_key(request->key, accept);
        n = snprintf(out, WS_ANSWER_MAX,
                     "HTTP/1.1 101 Switching Protocols\r\n"
                     "Upgrade: websocket\r\n"
                     "Connection: Upgrade\r\n"
                     "Sec-WebSocket-Accept: %s\r\n"
                     "Sec-WebSocket-Protocol: %s\r\n\r\n",
                     accept, request->protocol);
    } else {
        n = snprintf(out, WS_ANSWER_MAX,
                     "HTTP/1.1 %d %s\r\n"
                     "Connection: close\r\n%s"
                     "Content-Type: text/plain\r\n"
                     "Content-Length: %zu\r\n\r\n%s\n",
                     status, status_text(status), extra_headers(status), strlen(why) + 1, why);
    }
    ASSERT(n > 0 && n < WS_ANSWER_MAX);
    return (size_t)n;
}
