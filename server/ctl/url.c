#include "ctl/url.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static const struct scheme {
    const char *prefix;
    bool tls, websocket;
    uint32_t port;
} schemes[] = {
    {"mqtt://", false, false, 1883},
    {"mqtts://", true, false, 8883},
    {"ws://", false, true, 80},
    {"wss://", true, true, 443},
};

static int hex_value(char c)
{
    if (isdigit((unsigned char)c))
        return c - '0';
    c = (char)tolower((unsigned char)c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* %41 becomes A, in place.  0, or -1 when a % is not followed by two digits or makes a NUL. */
static int percent_decode(char *text)
{
    char *to = text;

    for (; *text; text++) {
        if (*text != '%') {
            *to++ = *text;
            continue;
        }
        if (hex_value(text[1]) < 0 || hex_value(text[2]) < 0)
            return -1;
        *to = (char)(hex_value(text[1]) << 4 | hex_value(text[2]));
        if (*to++ == '\0')
            return -1;
        text += 2;
    }
    *to = '\0';
    return 0;
}

/* user[:password]@ in front of the host; returns the host. */
static char *take_credentials(char *authority, struct dial *d, struct fault *fault)
{
    char *at = strrchr(authority, '@');
    char *colon;

    if (!at)
        return authority;
    *at = '\0';
    colon = strchr(authority, ':');
    if (colon)
        *colon++ = '\0';
    if (percent_decode(authority) < 0 || (colon && percent_decode(colon) < 0)) {
        fault_set(fault, "a %% in the credentials is not followed by two hexadecimal digits");
        return NULL;
    }
    d->username = authority;
    if (colon)
        d->password = colon;
    return at + 1;
}

/* host, host:port, [v6] or [v6]:port. */
static int take_host(char *host, struct dial *d, struct fault *fault)
{
    char *port = NULL;

    if (host[0] == '[') {
        char *close = strchr(++host, ']');

        if (!close)
            return fault_set(fault, "a [ has no ]");
        *close++ = '\0';
        if (*close == ':')
            port = close + 1;
        else if (*close != '\0')
            return fault_set(fault, "what follows the ] is not a port");
    } else if ((port = strchr(host, ':'))) {
        *port++ = '\0';
    }
    if (host[0] == '\0')
        return fault_set(fault, "there is no host in it");
    if (port && arg_number(port, 1, 65535, &d->link.port) < 0)
        return fault_set(fault, "'%s' is not a port", port);
    d->link.host = host;
    return 0;
}

int url_parse(const char *url, struct dial *d, const char **topic, struct fault *fault)
{
    const struct scheme *s = NULL;
    char *authority, *path;

    if (strncmp(url, "unix:", 5) == 0) {
        d->link.unix_path = url + 5;
        return 0;
    }
    for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
        if (strncmp(url, schemes[i].prefix, strlen(schemes[i].prefix)) == 0)
            s = &schemes[i];
    }
    if (!s)
        return fault_set(fault, "it begins with none of mqtt:// mqtts:// ws:// wss:// unix:");
    free(d->url_parts);
    authority = d->url_parts = str_dup(str_of(url + strlen(s->prefix)));
    d->link.port = s->port;
    d->link.tls |= s->tls;
    d->link.websocket |= s->websocket;
    path = strchr(authority, '/');
    if (path)
        *path++ = '\0';
    authority = take_credentials(authority, d, fault);
    if (!authority || take_host(authority, d, fault) < 0)
        return -1;
    if (path && s->websocket) {
        /* link.c puts the slash back */
        d->link.ws_path = path;
    } else if (path && path[0]) {
        if (percent_decode(path) < 0)
            return fault_set(fault, "a %% in the topic is not followed by two hexadecimal digits");
        *topic = path;
    }
    return 0;
}
