/* Inside question.h: what question.c builds and question_render.c reads. */
#ifndef LIB_HTTP_DECISION_QUESTION_IMPL_H
#define LIB_HTTP_DECISION_QUESTION_IMPL_H

#include "lib_http_decision/question.h"

enum { PAIRS_MAX = 64 };

struct pair {
    const char *name;
    struct template *value;
};

struct pairs {
    struct pair items[PAIRS_MAX];
    size_t count;
};

struct question {
    const char *method, *content_type;
    int format;
    char *origin; /* scheme://host:port: no client's facts reach it */
    struct template *path, *query, *body;
    struct pairs fields, headers;
};

#endif
