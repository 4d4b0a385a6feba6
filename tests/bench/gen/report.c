/* Printing results. */
#include "report.h"

#include <assert.h>
#include <stdio.h>

void report_note(struct report *r, const char *name, double value, const char *unit)
{
    assert(r->count < REPORT_LINES);
    r->lines[r->count].name = name;
    r->lines[r->count].unit = unit;
    r->lines[r->count].value = value;
    r->count++;
}

static void text_print(const char *text)
{
    for (putchar('"'); *text; text++) {
        if (*text == '"' || *text == '\\')
            putchar('\\');
        if ((unsigned char)*text < 32)
            printf("\\u%04x", *text);
        else
            putchar(*text);
    }
    putchar('"');
}

static void json_print(const struct report *r, const struct plan *plan)
{
    printf("{\"scenario\":\"%s\",\"label\":", plan->scenario_name);
    text_print(plan->label);
    printf(",\"mqtt\":%d,\"qos\":%d,\"payload\":%d,\"batch\":%d,\"tls\":%s,\"ws\":%s,\"relay\":%s",
           (int)plan->version, (int)plan->qos, (int)plan->payload, (int)plan->batch,
           plan->tls ? "true" : "false", plan->ws_path ? "true" : "false",
           plan->relay ? "true" : "false");
    for (unsigned i = 0; i < r->count; i++)
        printf(",\"%s\":%.10g", r->lines[i].name, r->lines[i].value);
    printf(",\"verdict\":");
    text_print(r->verdict ? r->verdict : "ok");
    printf("}\n");
}

static const char *version_name(uint64_t version)
{
    return version == 3 ? "MQTT 3.1" : version == 4 ? "MQTT 3.1.1" : "MQTT 5.0";
}

static void people_print(const struct report *r, const struct plan *plan)
{
    printf("%s", plan->scenario_name);
    if (plan->relay)
        printf(", relay");
    else
        printf(", %s, QoS %d", version_name(plan->version), (int)plan->qos);
    printf(", %d B, %d a write%s%s\n", (int)plan->payload, (int)plan->batch,
           plan->tls ? ", TLS" : "", plan->ws_path ? ", WebSocket" : "");
    for (unsigned i = 0; i < r->count; i++) {
        double v = r->lines[i].value;
        int digits = v == (double)(long long)v ? 0 : v < 10 ? 3 : v < 1000 ? 2 : 0;
        printf("  %-28s %14.*f %s\n", r->lines[i].name, digits, v, r->lines[i].unit);
    }
    printf("  %-28s %14s\n", "verdict", r->verdict ? r->verdict : "ok");
}

void report_print(const struct report *r, const struct plan *plan)
{
    if (plan->json)
        json_print(r, plan);
    else
        people_print(r, plan);
    fflush(stdout);
}
