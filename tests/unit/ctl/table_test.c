/* JSON as tables and lines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ctl/table.h"

/* What is printed for this JSON. */
static void prints(const char *json, const char *expected)
{
    cJSON *value = cJSON_Parse(json);
    char *text = NULL;
    size_t len = 0;
    FILE *to = open_memstream(&text, &len);

    assert_non_null(value);
    table_print(to, value);
    fclose(to);
    assert_string_equal(text, expected);
    free(text);
    cJSON_Delete(value);
}

static void lists_of_objects_are_tables(void **state)
{
    prints("[{\"name\":\"a\",\"n\":1},{\"name\":\"long one\",\"n\":22}]", "name       n\n"
                                                                          "a          1\n"
                                                                          "long one  22\n");
    /* a column is of numbers only if all of it is; what a row does not have is empty */
    prints("[{\"a\":1,\"b\":\"x\"},{\"a\":\"y\"},{\"b\":null,\"c\":true}]", "a  b  c\n"
                                                                            "1  x  \n"
                                                                            "y     \n"
                                                                            "      yes\n");
    prints("[{\"x\":1.25},{\"x\":0.5},{\"x\":3}]", "  x\n1.2\n0.5\n  3\n");
    prints("[{\"o\":{\"p\":[1,2]}}]", "o\n{\"p\":[1,2]}\n");
}

static void objects_are_lines(void **state)
{
    prints("{\"a\":1,\"long\":\"two words\",\"yes\":false}",
           "a:    1\nlong: two words\nyes:  no\n");
    prints("{\"rows\":[{\"k\":\"v\"}]}", "rows:\nk\nv\n");
    prints("[\"a\",2,true]", "a\n2\nyes\n");
    prints("\"text\"", "text\n");
    prints("[]", "");
}

static void nothing_moves_the_cursor(void **state)
{
    prints("[{\"a\\u001b[2J\":\"b\\r\\u0007\"}]", "a?[2J\nb??\n");
    prints("{\"a\\nb\":\"c\\u001bd\"}", "a?b: c?d\n");
    prints("\"\\u001b]0;title\"", "?]0;title\n");
}

static void columns_align_by_characters(void **state)
{
    prints("[{\"n\":\"\xc3\xa9\xc3\xa9\",\"m\":\"x\"},{\"n\":\"abc\",\"m\":\"y\"}]",
           "n    m\n\xc3\xa9\xc3\xa9   x\nabc  y\n");
}

static void more_columns_than_there_is_room_for_are_left_out(void **state)
{
    cJSON *list = cJSON_CreateArray(), *row = cJSON_CreateObject();
    char name[16], *text = NULL;
    size_t len = 0;
    FILE *to = open_memstream(&text, &len);

    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "c%d", i);
        cJSON_AddNumberToObject(row, name, i);
    }
    cJSON_AddItemToArray(list, row);
    table_print(to, list);
    fclose(to);
    assert_non_null(strstr(text, "c31"));
    assert_null(strstr(text, "c32"));
    free(text);
    cJSON_Delete(list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_of_objects_are_tables),
        cmocka_unit_test(objects_are_lines),
        cmocka_unit_test(nothing_moves_the_cursor),
        cmocka_unit_test(columns_align_by_characters),
        cmocka_unit_test(more_columns_than_there_is_room_for_are_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
