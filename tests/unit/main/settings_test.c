#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "conf/show.h"
#include "main/settings.h"

static struct settings *load(const char *text)
{
    const char *overrides[] = {text};
    struct settings_origin origin = {
        .data_dir = "/tmp/none", .overrides = overrides, .override_count = 1};
    struct settings *s;

    settings_load(&s, &origin);
    return s;
}

static struct settings *good(const char *text)
{
    struct settings *s = load(text);

    if (!settings_ok(s))
        complaints_print(&s->complaints, stderr);
    assert_true(settings_ok(s));
    return s;
}

/* The text is refused, and the first complaint says this. */
static void refused(const char *text, const char *part)
{
    struct settings *s = load(text);

    assert_false(settings_ok(s));
    const char *first = complaint_text(&s->complaints, s->complaints.first);
    if (!strstr(first, part))
        fail_msg("\"%s\" is not in: %s", part, first);
    settings_free(&s);
}

static void without_configuration_only_this_machine_is_served(void **state)
{
    struct settings *s = good("");

    assert_true(s->server.listener_count >= 1);
    for (size_t i = 0; i < s->server.listener_count; i++) {
        const char *address = s->server.listeners[i].listen.address;
        assert_true(strcmp(address, "127.0.0.1:1883") == 0 || strcmp(address, "[::1]:1883") == 0);
        assert_true(s->server.listeners[i].anonymous);
        assert_int_equal(s->server.listeners[i].versions, VERSION_ALL);
    }
    assert_int_equal(s->server.threads, settings_cpus());
    assert_string_equal(s->control.socket, "/tmp/none/control.sock");
    settings_free(&s);
}

/* Two sources of truth, one truth: the tables' defaults are those the core has on its own. */
static void defaults_are_the_cores(void **state)
{
    struct settings *s = good("memory_limit none;");
    struct limits wanted;
    struct arena arena = {0};

    limits_default(&wanted);
    struct show_change *c = show_changes(&settings_limits_table, &wanted, &s->limits, &arena);
    if (c)
        fail_msg("%s", show_change_text(c, &arena));
    arena_fini(&arena);
    settings_free(&s);
}

/* Every number of struct limits can be set: none is parsed and forgotten. */
static void every_limit_reaches_the_server(void **state)
{
    struct settings *s = good(
        "memory_limit 5m; limits { max_packet 17; connect_max_packet 65; max_payload 3;"
        "max_topic_levels 4; max_topic_length 5; max_client_id 6; v31_long_client_id off;"
        "receive_maximum 8; max_inflight 9; topic_alias_maximum 10; topic_alias_out 11;"
        "max_queue_messages 12; max_queue_bytes 13; qos0_queue_bytes 14; queue_full drop_old;"
        "slow_consumer close; message_rate 15/s; byte_rate 16/s; rate_excess close;"
        "max_connections 17; max_sessions 18; max_subscriptions 19; max_pending_connects 20;"
        "connect_rate 21/s; connect_timeout 22s; session_expiry_max 23s; message_expiry_max 24s;"
        "will_delay_max 25s; keep_alive_max 26s; server_keep_alive 27s; maximum_qos 1;"
        "retain off; wildcard_subscriptions off; shared_subscriptions off;"
        "subscription_identifiers off; empty_client_id off; upgrade_outgoing_qos on;"
        "reason_strings off; shared_strategy hash; max_retained_messages 28;"
        "max_retained_bytes 29; client_id_prefix x-; response_information r/; }");
    const struct limits *l = &s->server.limits;

    assert_int_equal(l->memory_limit, 5 << 20);
    assert_int_equal(l->max_packet, 17);
    assert_int_equal(l->connect_max_packet, 17); /* never above max_packet */
    assert_int_equal(l->max_payload, 3);
    assert_int_equal(l->max_topic_levels, 4);
    assert_int_equal(l->max_topic_length, 5);
    assert_int_equal(l->max_client_id, 6);
    assert_false(l->v31_long_client_id);
    assert_int_equal(l->receive_maximum, 8);
    assert_int_equal(l->max_inflight, 9);
    assert_int_equal(l->topic_alias_maximum, 10);
    assert_int_equal(l->topic_alias_out, 11);
    assert_int_equal(l->max_queue_messages, 12);
    assert_int_equal(l->max_queue_bytes, 13);
    assert_int_equal(l->qos0_queue_bytes, 14);
    assert_int_equal(l->queue_full, QUEUE_DROP_OLD);
    assert_int_equal(l->slow_consumer, SLOW_CLOSE);
    assert_int_equal(l->message_rate, 15);
    assert_int_equal(l->byte_rate, 16);
    assert_int_equal(l->rate_excess, RATE_CLOSE);
    assert_int_equal(l->max_connections, 17);
    assert_int_equal(l->max_sessions, 18);
    assert_int_equal(l->max_subscriptions, 19);
    assert_int_equal(l->max_pending_connects, 20);
    assert_int_equal(l->connect_rate, 21);
    assert_int_equal(l->connect_timeout_ms, 22000);
    assert_int_equal(l->session_expiry_max, 23);
    assert_int_equal(l->message_expiry_max, 24);
    assert_int_equal(l->will_delay_max, 25);
    assert_int_equal(l->keep_alive_max, 26);
    assert_int_equal(l->server_keep_alive, 27);
    assert_int_equal(l->maximum_qos, 1);
    assert_false(l->retain || l->wildcard_subscriptions || l->shared_subscriptions ||
                 l->subscription_identifiers || l->empty_client_id || l->reason_strings);
    assert_true(l->upgrade_outgoing_qos);
    assert_int_equal(l->share_strategy, SHARE_HASH);
    assert_int_equal(l->max_retained_messages, 28);
    assert_int_equal(l->max_retained_bytes, 29);
    assert_string_equal(l->client_id_prefix, "x-");
    assert_string_equal(l->response_prefix, "r/");
    settings_free(&s);
}

#define OPEN "is reachable from other machines and nothing authenticates its clients"
#define PAIR "certificate c.pem; key k.pem; "

/* Promise S1. */
static void an_open_listener_must_say_so(void **state)
{
    static const char *const open[] = {
        "listener mqtt { bind 0.0.0.0; }",
        "listener mqtt { bind [::]:1883; }",
        "listener mqtt { bind 192.0.2.1; }",
        "listener mqtt { bind 127.0.0.1; bind 192.0.2.1; }",
        "listener mqtt { bind [::ffff:192.0.2.1]:1; }",
        "listener mqtt { bind 127.0.0.1; proxy_protocol any from 127.0.0.1; }",
        "listener mqtts { bind 0.0.0.0; tls { " PAIR "} }",
        "listener mqtts { bind 0.0.0.0; tls { " PAIR "client_ca x; verify require; } }",
        "listener mqtts { bind 0.0.0.0; tls { " PAIR
        "client_ca x; verify optional; username_from cn; } }",
        "listener mqtts { bind 0.0.0.0; tls { " PAIR "psk_file x; username_from_psk off; } }",
    };

    for (size_t i = 0; i < sizeof open / sizeof *open; i++)
        refused(open[i], OPEN);
}

static void authenticated_or_outspoken_listeners_start(void **state)
{
    struct settings *s;

    s = good("listener mqtt { bind 0.0.0.0; anonymous allow; }");
    assert_true(s->server.listeners[0].anonymous);
    settings_free(&s);
    s = good("anonymous allow; listener mqtt { bind 0.0.0.0; }");
    assert_true(s->server.listeners[0].anonymous);
    settings_free(&s);
    s = good("listener mqtts { bind 0.0.0.0; tls { " PAIR
             "client_ca x; verify require; username_from cn; } }");
    assert_false(s->server.listeners[0].anonymous);
    assert_int_equal(s->server.listeners[0].username_from, USERNAME_CN);
    settings_free(&s);
    s = good("listener psk { bind 0.0.0.0:8883; tls { psk_file x; } }");
    assert_false(s->server.listeners[0].anonymous);
    assert_true(s->server.listeners[0].username_from_psk);
    settings_free(&s);
    /* An explicit refusal is safe, if useless: said, not forbidden. */
    s = good("listener mqtt { bind 0.0.0.0; anonymous deny; }");
    assert_int_equal(s->complaints.warnings, 1);
    assert_false(s->server.listeners[0].anonymous);
    settings_free(&s);
    s = good("anonymous deny; listener mqtt { bind 127.0.0.1; }");
    assert_false(s->server.listeners[0].anonymous);
    settings_free(&s);
    s = good("listener u { bind unix:/tmp/x.sock; }");
    assert_true(s->server.listeners[0].anonymous);
    settings_free(&s);
}

static void a_browser_is_not_a_neighbour(void **state)
{
    struct settings *s = good("listener ws { bind 127.0.0.1; }");

    assert_int_equal(s->complaints.warnings, 1);
    settings_free(&s);
    s = good("listener ws { bind 127.0.0.1; origins https://a.example; }");
    assert_int_equal(s->complaints.warnings, 0);
    settings_free(&s);
}

static void types_set_ports_and_transport(void **state)
{
    struct settings *s = good("listener mqtt { bind 127.0.0.1 ::1; }"
                              "listener ws-public { bind 127.0.0.1; origins a b; path /x; }"
                              "listener web { type ws; bind 127.0.0.2; }"
                              "listener mqtts { bind 127.0.0.1; tls { " PAIR "} }"
                              "listener wss { bind 127.0.0.1; tls { " PAIR "} }"
                              "listener any { bind 127.0.0.1:9; websocket on; }");
    static const struct {
        const char *address;
        bool websocket, tls;
    } wanted[] = {
        {"127.0.0.1:1883", false, false}, {"[::1]:1883", false, false},
        {"127.0.0.1:8083", true, false},  {"127.0.0.2:8083", true, false},
        {"127.0.0.1:8883", false, true},  {"127.0.0.1:8084", true, true},
        {"127.0.0.1:9", true, false},
    };

    assert_int_equal(s->server.listener_count, 7);
    for (size_t i = 0; i < 7; i++) {
        const struct listen_conf *l = &s->server.listeners[i].listen;
        assert_string_equal(l->address, wanted[i].address);
        assert_int_equal(l->websocket, wanted[i].websocket);
        assert_int_equal(l->tls, wanted[i].tls);
        assert_true(l->v6_only);
    }
    assert_int_equal(s->server.listeners[2].listen.ws_origins.count, 2);
    assert_string_equal(s->server.listeners[2].listen.ws_path, "/x");
    settings_free(&s);
}

static void listener_details_arrive(void **state)
{
    struct settings *s =
        good("limits { connect_timeout 7s; }"
             "listener a { bind 127.0.0.1:1; versions 5; mount_point t/; max_connections 3;"
             "  connect_rate 4/s; backlog 5; connect_timeout 6s; anonymous allow;"
             "  proxy_protocol v2 from 10.0.0.0/8 127.0.0.1; }"
             "listener b { bind unix:x.sock; mode 0600; owner root:root; }"
             "listener mqtts { bind 127.0.0.1:2; tls { certificate a; key b; certificate c; key d;"
             "  client_ca ca; crl r; verify optional; min_version 1.3; ciphers x; ciphersuites y;"
             "  curves z; alpn mqtt; tickets off; psk_file p; psk_hint h; } }");
    const struct server_listener *l = s->server.listeners;

    assert_int_equal(l[0].versions, VERSION_5);
    assert_string_equal(l[0].mount_point, "t/");
    assert_int_equal(l[0].listen.max_connections, 3);
    assert_int_equal(l[0].listen.connect_rate, 4);
    assert_int_equal(l[0].listen.backlog, 5);
    assert_int_equal(l[0].connect_timeout_ms, 6000);
    assert_int_equal(l[0].listen.proxy, LISTEN_PROXY_V2);
    assert_int_equal(l[0].listen.proxy_sources.count, 2);
    assert_string_equal(l[0].listen.proxy_sources.items[1], "127.0.0.1");
    assert_int_equal(l[1].listen.unix_mode, 0600);
    assert_int_equal(l[1].listen.unix_uid, 0);
    assert_int_equal(l[1].connect_timeout_ms, 7000);
    const struct listen_tls *t = &l[2].listen.tls_conf;
    assert_int_equal(t->cert_count, 2);
    assert_string_equal(t->certs[1].certificate, "c");
    assert_string_equal(t->certs[1].key, "d");
    assert_string_equal(t->client_ca_file, "ca");
    assert_string_equal(t->crl_file, "r");
    assert_int_equal(t->verify, LISTEN_VERIFY_OPTIONAL);
    assert_int_equal(t->min_version, LISTEN_TLS_1_3);
    assert_string_equal(t->ciphers, "x");
    assert_string_equal(t->ciphersuites, "y");
    assert_string_equal(t->curves, "z");
    assert_int_equal(t->alpn.count, 1);
    assert_false(t->tickets);
    assert_string_equal(t->psk_file, "p");
    assert_string_equal(t->psk_hint, "h");
    settings_free(&s);
}

static void rules_between_directives(void **state)
{
    refused("listener mqtts { bind 127.0.0.1; }", "listener mqtts needs tls");
    refused("listener a { bind 127.0.0.1:1; tls { certificate c; } }", "as many keys");
    refused("listener a { bind 127.0.0.1:1; tls { } }", "nothing to serve with");
    refused("listener a { bind 127.0.0.1:1; tls { " PAIR "verify require; } }",
            "verify needs to know who");
    refused("listener a { bind 127.0.0.1:1; tls { " PAIR "username_from cn; } }",
            "needs a verified certificate");
    refused("listener a { bind 127.0.0.1:1; } listener b { bind 127.0.0.1:1; }", "is bound twice");
    refused("listener a { bind 127.0.0.1:1; path mqtt; }", "begins with /");
    refused("listener a { bind 127.0.0.1:1; mount_point a/#; }", "no + or #");
    refused("listener a { bind 127.0.0.1:1; owner nobody-of-this-name; }", "there is no user");
    refused("listener a { bind 127.0.0.1:1; proxy_protocol v1; }", "who may send the header");
    refused("listener a { bind 127.0.0.1:1; anonymous allow; proxy_protocol v1 from 1.2.3; }",
            "is not an address block");
    refused("listener a { bind 127.0.0.1:1; proxy_protocol v3 from ::1; }", "unknown version");
    refused("limits { response_information a/+/; }", "no + or #");
    refused("log { to nowhere; }", "unknown destination");
    refused("log { to file; }", "needs a path");
    refused("log { to stderr x; }", "only 'to file' takes a path");
    refused("memory_limit 101%;", "from 1% to 100%");
    struct settings *s = good("listener a { bind 127.0.0.1:0; } listener b { bind 127.0.0.1:0; }");
    assert_int_equal(s->server.listener_count, 2); /* port 0 is a different one each time */
    settings_free(&s);
}

static void files_and_logs(void **state)
{
    struct settings *s = good("data_dir /d; log { to file x.log; format json; level warn; }"
                              "control { socket off; }");

    assert_int_equal(s->log_conf.target, LOG_TO_FILE);
    assert_string_equal(s->log_conf.path, "x.log");
    assert_int_equal(s->log_conf.format, LOG_FORMAT_JSON);
    assert_int_equal(s->log_conf.level, LOG_LEVEL_WARN);
    assert_null(s->control.socket);
    assert_string_equal(s->data_dir, "/d");
    settings_free(&s);
    s = good("memory_limit 50%;");
    assert_true(s->limits.memory_limit > 0 && s->limits.memory_limit <= settings_memory() / 2);
    settings_free(&s);
}

/* -T of anything is a configuration that means the same. */
static void the_effective_configuration_is_a_fixed_point(void **state)
{
    struct settings *s = good("threads 3; memory_limit 60%; log { to file /x; }"
                              "listener mqtts { bind 0.0.0.0; anonymous allow; tls { " PAIR
                              "psk_file p; } } listener u { bind unix:/tmp/a; }");
    char *text = NULL;
    size_t len;
    FILE *to = open_memstream(&text, &len);

    show_effective(to, &settings_table, s);
    fclose(to);
    struct settings *again = good(text);
    struct arena arena = {0};
    struct show_change *c = show_changes(&settings_table, s, again, &arena);
    if (c)
        fail_msg("%s", show_change_text(c, &arena));
    arena_fini(&arena);
    free(text);
    settings_free(&s);
    settings_free(&again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_configuration_only_this_machine_is_served),
        cmocka_unit_test(defaults_are_the_cores),
        cmocka_unit_test(every_limit_reaches_the_server),
        cmocka_unit_test(an_open_listener_must_say_so),
        cmocka_unit_test(authenticated_or_outspoken_listeners_start),
        cmocka_unit_test(a_browser_is_not_a_neighbour),
        cmocka_unit_test(types_set_ports_and_transport),
        cmocka_unit_test(listener_details_arrive),
        cmocka_unit_test(rules_between_directives),
        cmocka_unit_test(files_and_logs),
        cmocka_unit_test(the_effective_configuration_is_a_fixed_point),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
