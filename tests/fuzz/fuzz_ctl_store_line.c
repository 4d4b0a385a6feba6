/* Lines of an exported store: any bytes may stand there; what is accepted holds together, and
 * printed again it is a line that is accepted and prints the same. */
#include "fuzz.h"

#include <string.h>

#include "ctl/store_line.h"

static void check_message(const struct record_message *m)
{
    MUST(m->topic.len > 0 && m->topic.len <= UINT16_MAX && m->qos <= 2);
}

static void check(const struct store_line *l)
{
    MUST(l->kind < LINE_KINDS);
    switch (l->kind) {
    case LINE_HEAD:
        MUST(l->head.count <= LINE_META_MOST);
        break;
    case LINE_MESSAGE:
        check_message(&l->message.message);
        break;
    case LINE_SESSION:
        if (l->session.has_will)
            check_message(&l->session.will.message);
        break;
    case LINE_SUBSCRIPTION:
        MUST(l->subscription.filter.len > 0 && l->subscription.filter.len <= UINT16_MAX);
        break;
    case LINE_QUEUED:
        if (!l->queued.released && !l->queued.shared)
            check_message(&l->queued.message);
        break;
    case LINE_RETAINED:
        check_message(&l->retained);
        break;
    default:
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct line_reader reader = {0}, again = {0};
    struct store_line line, same;

    if (line_parse(&reader, (struct str){(const char *)data, size}, &line) == 0) {
        check(&line);
        char *text = line_print(&line);
        MUST(line_parse(&again, str_of(text), &same) == 0 && same.kind == line.kind);
        char *second = line_print(&same);
        MUST(strcmp(text, second) == 0 && !strchr(text, '\n'));
        cJSON_free(text);
        cJSON_free(second);
    } else {
        MUST(reader.why[0] != '\0');
    }
    line_reader_fini(&reader);
    line_reader_fini(&again);
    return 0;
}
