/* What Prometheus reads, byte by byte. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "text.h"

static void is(struct text *t, const char *want)
{
    text_end(t);
    char *got = calloc(1, t->len + 1);

    memcpy(got, t->bytes, t->len);
    assert_string_equal(got, want);
    free(got);
}

static struct skep_sample sample(const char *name, const char *labels, enum skep_metric_kind kind,
                                 double value)
{
    return (struct skep_sample){.name = name,
                                .help = "Help \\ \"it\"\nplease",
                                .labels = labels,
                                .kind = kind,
                                .value = value};
}

static void add(struct text *t, const char *name, const char *labels, enum skep_metric_kind kind,
                double value)
{
    struct skep_sample s = sample(name, labels, kind, value);

    text_add(t, &s);
}

static void a_family_is_introduced_once(void **state)
{
    struct text t = {0};

    text_begin(&t, false);
    add(&t, "a_total", "", SKEP_COUNTER, 7);
    add(&t, "b", "x=\"1\"", SKEP_GAUGE, -0.1);
    add(&t, "b", "x=\"2\"", SKEP_GAUGE, 1e300);
    is(&t, "# HELP a_total Help \\\\ \"it\"\\nplease\n# TYPE a_total counter\na_total 7\n"
           "# HELP b Help \\\\ \"it\"\\nplease\n# TYPE b gauge\nb{x=\"1\"} -0.1\n"
           "b{x=\"2\"} 1e+300\n");
    text_begin(&t, true);
    add(&t, "a_total", "", SKEP_COUNTER, 7);
    add(&t, "c", "x=\"1\"", SKEP_COUNTER, 1);
    is(&t, "# HELP a Help \\\\ \\\"it\\\"\\nplease\n# TYPE a counter\na_total 7\n"
           "# HELP c Help \\\\ \\\"it\\\"\\nplease\n# TYPE c counter\nc_total{x=\"1\"} 1\n# EOF\n");
    text_fini(&t);
}

static void numbers_read_back_the_same(void **state)
{
    static const double values[] = {
        0,   1.0 / 3,    4.9e-324,    1.7976931348623157e308, 9007199254740991,
        0.1, 1e15 + 0.5, 123456789.25};
    struct text t = {0};

    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        text_begin(&t, false);
        add(&t, "v", "", SKEP_GAUGE, values[i]);
        text_add(&t, &(struct skep_sample){.name = "end", .help = "", .labels = ""});
        const char *at = strstr(t.bytes, "\nv ");
        assert_non_null(at);
        assert_true(strtod(at + 3, NULL) == values[i]);
    }
    text_begin(&t, false);
    add(&t, "v", "l=\"1\"", SKEP_GAUGE, NAN);
    add(&t, "v", "l=\"2\"", SKEP_GAUGE, INFINITY);
    add(&t, "v", "l=\"3\"", SKEP_GAUGE, -INFINITY);
    is(&t, "# HELP v Help \\\\ \"it\"\\nplease\n# TYPE v gauge\nv{l=\"1\"} NaN\nv{l=\"2\"} +Inf\n"
           "v{l=\"3\"} -Inf\n");
    text_fini(&t);
}

static void buckets_add_up(void **state)
{
    static const double bounds[] = {0.5, 1};
    static const uint64_t buckets[] = {3, 0, 4};
    struct skep_sample s = sample("h_seconds", "", SKEP_HISTOGRAM, 0);
    struct text t = {0};

    s.help = "";
    s.bounds = bounds;
    s.buckets = buckets;
    s.bound_count = 2;
    s.sum = 12.5;
    s.count = 6; /* one came while it was read: the buckets count */
    text_begin(&t, false);
    text_add(&t, &s);
    is(&t, "# HELP h_seconds \n# TYPE h_seconds histogram\nh_seconds_bucket{le=\"0.5\"} 3\n"
           "h_seconds_bucket{le=\"1\"} 3\nh_seconds_bucket{le=\"+Inf\"} 7\nh_seconds_sum 12.5\n"
           "h_seconds_count 7\n");
    s.labels = "hook=\"connect\"";
    text_begin(&t, true);
    text_add(&t, &s);
    is(&t, "# HELP h_seconds \n# TYPE h_seconds histogram\n"
           "h_seconds_bucket{hook=\"connect\",le=\"0.5\"} 3\n"
           "h_seconds_bucket{hook=\"connect\",le=\"1.0\"} 3\n"
           "h_seconds_bucket{hook=\"connect\",le=\"+Inf\"} 7\n"
           "h_seconds_sum{hook=\"connect\"} 12.5\nh_seconds_count{hook=\"connect\"} 7\n# EOF\n");
    text_fini(&t);
}

static void the_format_is_what_was_asked_for(void **state)
{
    assert_true(text_wants_open_metrics(SKEP_STR(
        "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;"
        "q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1")));
    assert_true(text_wants_open_metrics(SKEP_STR("application/openmetrics-text")));
    assert_false(text_wants_open_metrics(SKEP_STR("")));
    assert_false(text_wants_open_metrics(SKEP_STR("*/*")));
    assert_false(text_wants_open_metrics(SKEP_STR("text/plain;version=0.0.4")));
    assert_false(text_wants_open_metrics(SKEP_STR("application/openmetrics-text;q=0")));
    assert_false(
        text_wants_open_metrics(SKEP_STR("application/openmetrics-text; q=0.3, text/plain")));
    assert_false(text_wants_open_metrics(SKEP_STR("application/openmetrics-texts")));
}

static void it_grows(void **state)
{
    struct text t = {0};
    char label[64];

    text_begin(&t, false);
    for (int i = 0; i < 20000; i++) {
        snprintf(label, sizeof label, "i=\"%d\"", i);
        add(&t, "many", label, SKEP_GAUGE, i);
    }
    assert_false(t.failed);
    assert_true(t.len > 400000);
    assert_memory_equal(t.bytes + t.len - 22, "many{i=\"19999\"} 19999\n", 22);
    text_fini(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_family_is_introduced_once),
        cmocka_unit_test(numbers_read_back_the_same),
        cmocka_unit_test(buckets_add_up),
        cmocka_unit_test(the_format_is_what_was_asked_for),
        cmocka_unit_test(it_grows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
