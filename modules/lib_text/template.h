/* Text with placeholders that a client's facts are put into, each encoded for its place.
 *
 *     %c  %{client_id}   client id               %l  %{listener}      name of the listener
 *     %u  %{username}    user name               %v  %{protocol}      3, 4 or 5
 *     %P  %{password}    password                %C  %{cert_cn}       certificate's common name
 *     %a  %{address}     address without port    %d  %{cert_subject}  certificate's subject
 *     %t  %{topic}       topic or filter         %A  %{action}        publish, subscribe
 *     %q  %{qos}         0, 1, 2                 %r  %{retain}        true, false
 *     %g  %{group}       of $share/GROUP/...     %%  a percent sign
 *     %{attribute:NAME}  an attribute that an authentication module gave the client
 *
 * %{NAME:base64} is the same in base64, for what may be no text (a password). */
#ifndef LIB_TEXT_TEMPLATE_H
#define LIB_TEXT_TEMPLATE_H

#include "lib_text/buffer.h"

enum variable {
    VAR_CLIENT_ID,
    VAR_USERNAME,
    VAR_PASSWORD,
    VAR_ADDRESS,
    VAR_LISTENER,
    VAR_PROTOCOL,
    VAR_CERT_CN,
    VAR_CERT_SUBJECT,
    VAR_TOPIC,
    VAR_ACTION,
    VAR_QOS,
    VAR_RETAIN,
    VAR_GROUP,
    VAR_ATTRIBUTE, /* with a name */
    VAR_COUNT,
};

/* Facts.  Borrowed. */
struct inputs {
    struct skep_str values[VAR_ATTRIBUTE];
    struct skep_str (*attribute)(const void *arg, const char *name); /* NULL: there are none */
    const void *arg;
};

enum place {
    PLACE_PATH,   /* of a URL: percent; an empty value, "." and ".." are refused */
    PLACE_QUERY,  /* percent */
    PLACE_FORM,   /* percent */
    PLACE_JSON,   /* inside a string: JSON's escapes; what is not text is refused */
    PLACE_HEADER, /* what is not visible ASCII: percent */
    PLACE_PLAIN,  /* as it is */
    /* The template is one value, so that what is written in it is encoded, too. */
    PLACE_FORM_VALUE,
    PLACE_JSON_VALUE,
};

struct template;

/* allowed: set of (1 << VAR_*) that make sense there.  NULL: *why says in a few words why not. */
struct template *template_new(const char *text, unsigned allowed, const char **why);
void template_free(struct template **t);

/* NULL, or why the facts cannot be put there. */
const char *template_render(const struct template *t, enum place place, const struct inputs *in,
                            struct buffer *out);

/* Calls each for every placeholder with its value: what the result depends on. */
void template_facts(const struct template *t, const struct inputs *in,
                    void (*each)(struct skep_str value, void *arg), void *arg);

/* Whether it holds a placeholder at all. */
bool template_varies(const struct template *t);

#endif
