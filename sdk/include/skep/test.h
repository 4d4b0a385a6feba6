/* Testing a module without a broker: the host's real dispatcher with a clock that the test moves,
 * clients that are not there, and an HTTP server that says what the test wants.
 *
 *     static void a_refused_token(void **state)
 *     {
 *         struct skep_test *t = skep_test_load("auth_token", "url http://auth.test/check;");
 *         skep_test_http(t, "http://auth.test/check", 403, "no");
 *
 *         struct skep_test_client *c = skep_test_client(t, "bee", "user", "wrong");
 *         assert_int_equal(skep_test_connect(c), SKEP_DENY);
 *         assert_int_equal(skep_test_reason(c), SKEP_RC_BAD_CREDENTIALS);
 *         skep_test_free(&t);
 *     }
 *
 * Link with pkg-config skep-test (libskeptest) and cmocka.  What is wrong in the test itself
 * (a configuration that does not load, no such HTTP answer) fails it with the place.  Everything
 * runs on the calling thread, jobs too, until skep_test_jobs() says otherwise. */
#ifndef SKEP_TEST_H
#define SKEP_TEST_H

#include <skep/decide.h>
#include <skep/event.h>
#include <skep/message.h>

SKEP_BEGIN

struct skep_test;
struct skep_test_client;

/* Loads the module from FILE.so, $SKEP_TEST_MODULES/NAME.so or, if the test program was linked with
 * the module's own object, from that (file NULL).  options: what stands in the load block. */
SKEP_EXPORT struct skep_test *skep_test_load(const char *file, const char *options);
/* As before, but the load is expected to fail: returns the complaint, freed by the next call. */
SKEP_EXPORT const char *skep_test_load_fails(const char *file, const char *options);
/* One more module behind those in the chain. */
SKEP_EXPORT void skep_test_add(struct skep_test *t, const char *file, const char *options);
/* A reload of the first module with these options; NULL, or the complaint. */
SKEP_EXPORT const char *skep_test_reload(struct skep_test *t, const char *options);
/* Unloads; fails the test when something of the module is left: memory slots, timers, watches. */
SKEP_EXPORT void skep_test_free(struct skep_test **t);

/* The `self` of the first module. */
SKEP_EXPORT void *skep_test_self(struct skep_test *t);
SKEP_EXPORT struct skep_module *skep_test_module(struct skep_test *t);

/* -- The world -- */

/* Lets time pass: timers and timeouts that are due run in order. */
SKEP_EXPORT void skep_test_pass_ms(struct skep_test *t, uint64_t ms);
/* Sets the wall clock. */
SKEP_EXPORT void skep_test_wall_ms(struct skep_test *t, uint64_t wall_ms);
/* Runs what is due now: tasks, finished jobs. */
SKEP_EXPORT void skep_test_run(struct skep_test *t);

/* What the HTTP server answers to that URL (without its query) from now on; status 0: the
 * connection fails, body says how.  A later call for the same URL replaces it. */
SKEP_EXPORT void skep_test_http(struct skep_test *t, const char *url, unsigned status,
                                const char *body);
/* The answer takes so long. */
SKEP_EXPORT void skep_test_http_delay(struct skep_test *t, const char *url, uint32_t ms);
/* Adds a header to its answer. */
SKEP_EXPORT void skep_test_http_header(struct skep_test *t, const char *url, const char *name,
                                       const char *value);
/* Requests made so far, and what the i-th was (of all URLs). */
SKEP_EXPORT size_t skep_test_http_count(const struct skep_test *t);
SKEP_EXPORT const struct skep_http_request *skep_test_http_request(const struct skep_test *t,
                                                                   size_t i);

/* Asks what the module serves (skep_http_serve(); the address it opened last): body may be NULL.
 * The status of the answer, 0: none came within 30 s; and its body, until the next request. */
SKEP_EXPORT unsigned skep_test_request(struct skep_test *t, const char *method, const char *path,
                                       const char *body);
SKEP_EXPORT const char *skep_test_answer(const struct skep_test *t);

/* Jobs wait until skep_test_run(), instead of running at once. */
SKEP_EXPORT void skep_test_jobs_wait(struct skep_test *t, bool wait);
/* The n-th thing from now that a module asks of the host and may be refused (request memory, a
 * wait, a job, a watch, a publication) is refused; 0: none. */
SKEP_EXPORT void skep_test_fail_allocation(struct skep_test *t, unsigned n);

/* Log lines so far, one string; and what modules published, i-th, NULL behind the last. */
SKEP_EXPORT const char *skep_test_log(const struct skep_test *t);
SKEP_EXPORT const struct skep_message *skep_test_published(const struct skep_test *t, size_t i);
/* Value of a metric of the module, by its name and labels (NULL: none). */
SKEP_EXPORT double skep_test_metric(const struct skep_test *t, const char *name,
                                    const char *labels);
/* Sends an event to the modules. */
SKEP_EXPORT void skep_test_event(struct skep_test *t, const struct skep_event *event);
/* `skepctl module call`: words separated by spaces; the JSON answer, or "error: ...". */
SKEP_EXPORT const char *skep_test_command(struct skep_test *t, const char *words);

/* -- Clients.  Each call asks the real chain and returns its verdict, SKEP_PENDING if it waits;
 * skep_test_verdict() then has the answer when there is one. -- */

/* username and password may be NULL. */
SKEP_EXPORT struct skep_test_client *skep_test_client(struct skep_test *t, const char *client_id,
                                                      const char *username, const char *password);
/* Before CONNECT: where it comes from ("192.0.2.7:1000"; default "127.0.0.1:40000"), its
 * certificate's common name, a password with a length. */
SKEP_EXPORT void skep_test_client_address(struct skep_test_client *c, const char *address);
SKEP_EXPORT void skep_test_client_cert(struct skep_test_client *c, const char *common_name);
SKEP_EXPORT void skep_test_client_password(struct skep_test_client *c, struct skep_str password);
SKEP_EXPORT void skep_test_client_will(struct skep_test_client *c, const char *topic,
                                       const char *payload, unsigned qos, bool retain);

/* CONNECT, with what was said above.  SKEP_NEXT: no module had an opinion; it is connected then if
 * none of them authenticates (has an on_connect or on_auth, and not SKEP_ADVISES). */
SKEP_EXPORT enum skep_verdict skep_test_connect(struct skep_test_client *c);
/* CONNECT with an authentication method, then AUTH packets (method NULL). */
SKEP_EXPORT enum skep_verdict skep_test_auth(struct skep_test_client *c, const char *method,
                                             struct skep_str data);
SKEP_EXPORT enum skep_verdict skep_test_subscribe(struct skep_test_client *c, const char *filter,
                                                  unsigned qos);
SKEP_EXPORT enum skep_verdict skep_test_publish(struct skep_test_client *c, const char *topic,
                                                const char *payload, unsigned qos, bool retain);
SKEP_EXPORT enum skep_verdict skep_test_deliver(struct skep_test_client *c, const char *topic,
                                                const char *payload, unsigned qos, bool retain);
/* It leaves, whatever it was doing. */
SKEP_EXPORT void skep_test_leave(struct skep_test_client *c);
SKEP_EXPORT bool skep_test_is_connected(const struct skep_test_client *c);

/* Of its last request: the verdict, reason, text, note ("file:line text"), granted QoS, and the
 * data for its AUTH. */
SKEP_EXPORT enum skep_verdict skep_test_verdict(const struct skep_test_client *c);
SKEP_EXPORT enum skep_reason skep_test_reason(const struct skep_test_client *c);
SKEP_EXPORT const char *skep_test_text(const struct skep_test_client *c);
SKEP_EXPORT const char *skep_test_where(const struct skep_test_client *c);
SKEP_EXPORT unsigned skep_test_granted_qos(const struct skep_test_client *c);
SKEP_EXPORT struct skep_str skep_test_auth_data(const struct skep_test_client *c);
/* After skep_test_publish(): the message as the modules left it, i-th copy; NULL behind the last.
 */
SKEP_EXPORT const struct skep_message *skep_test_message(const struct skep_test_client *c,
                                                         size_t i);
SKEP_EXPORT const struct skep_client *skep_test_identity(const struct skep_test_client *c);

/* Calls made through these say where they stand, so that what is wrong fails the test there. */
SKEP_EXPORT void skep_test_at(const char *file, int line);
#ifndef SKEP_TEST_HARNESS /* the library itself */
#define SKEP_TEST_AT(call)                   (skep_test_at(__FILE__, __LINE__), call)
#define skep_test_load(file, options)        SKEP_TEST_AT(skep_test_load(file, options))
#define skep_test_load_fails(file, options)  SKEP_TEST_AT(skep_test_load_fails(file, options))
#define skep_test_add(t, file, options)      SKEP_TEST_AT(skep_test_add(t, file, options))
#define skep_test_reload(t, options)         SKEP_TEST_AT(skep_test_reload(t, options))
#define skep_test_free(t)                    SKEP_TEST_AT(skep_test_free(t))
#define skep_test_pass_ms(t, ms)             SKEP_TEST_AT(skep_test_pass_ms(t, ms))
#define skep_test_run(t)                     SKEP_TEST_AT(skep_test_run(t))
#define skep_test_http_delay(t, url, ms)     SKEP_TEST_AT(skep_test_http_delay(t, url, ms))
#define skep_test_http_header(t, url, n, v)  SKEP_TEST_AT(skep_test_http_header(t, url, n, v))
#define skep_test_http_request(t, i)         SKEP_TEST_AT(skep_test_http_request(t, i))
#define skep_test_metric(t, name, labels)    SKEP_TEST_AT(skep_test_metric(t, name, labels))
#define skep_test_event(t, event)            SKEP_TEST_AT(skep_test_event(t, event))
#define skep_test_command(t, words)          SKEP_TEST_AT(skep_test_command(t, words))
#define skep_test_client_will(c, t, p, q, r) SKEP_TEST_AT(skep_test_client_will(c, t, p, q, r))
#define skep_test_request(t, m, p, body)     SKEP_TEST_AT(skep_test_request(t, m, p, body))
#define skep_test_connect(c)                 SKEP_TEST_AT(skep_test_connect(c))
#define skep_test_auth(c, method, data)      SKEP_TEST_AT(skep_test_auth(c, method, data))
#define skep_test_subscribe(c, filter, qos)  SKEP_TEST_AT(skep_test_subscribe(c, filter, qos))
#define skep_test_publish(c, t, p, q, r)     SKEP_TEST_AT(skep_test_publish(c, t, p, q, r))
#define skep_test_deliver(c, t, p, q, r)     SKEP_TEST_AT(skep_test_deliver(c, t, p, q, r))
#define skep_test_leave(c)                   SKEP_TEST_AT(skep_test_leave(c))
#endif

SKEP_END
#endif
