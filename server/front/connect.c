/* CONNECT, from the decoded packet to CONNACK [MQTT 3.1, 3.2]. */
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "core/broker.h"
#include "core/session.h"
#include "core/will.h"
#include "front/client.h"
#include "front/entrance.h"
#include "mqtt/topic.h"

enum { CONNACK_ROOM = 1024, V31_CLIENT_ID_MAX = 23, RESPONSE_INFO_MAX = 512 };

/* Everything about one attempt that does not outlive the call. */
struct attempt {
    struct client *c;
    struct mqtt_connect p;
    struct str packet; /* its body */
    struct conn_facts facts;
    struct str client_id; /* as sent or as assigned */
    struct str username;  /* the client's own, or what the transport vouches for */
    bool has_username;
    bool vouched; /* by a verified certificate or a pre-shared key */
    bool assigned;
    uint8_t reason; /* of a denial without a request */
};

/* -- Checks, each answering 0 or a reason -- */

static int check_version(struct attempt *a)
{
    static const unsigned bit[] = {
        [MQTT_31] = VERSION_3_1, [MQTT_311] = VERSION_3_1_1, [MQTT_50] = VERSION_5};
    return a->c->policy->versions & bit[a->p.version] ? 0 : RC_UNSUPPORTED_VERSION;
}

static int check_client_id(struct attempt *a)
{
    const struct limits *l = a->c->desk->w->limits;
    size_t len = a->p.client_id.len;

    if (len > l->max_client_id)
        return RC_CLIENT_ID_INVALID;
    if (a->p.version == MQTT_31)
        return len == 0 || (len > V31_CLIENT_ID_MAX && !l->v31_long_client_id)
                   ? RC_CLIENT_ID_INVALID /* [MQTT-V31-5] [MQTT-V31-6] */
                   : 0;
    if (len == 0 && (!l->empty_client_id || (a->p.version == MQTT_311 && !a->p.clean_start)))
        return RC_CLIENT_ID_INVALID; /* [MQTT-3.1.3-8] */
    return 0;
}

static int check_will(struct attempt *a)
{
    const struct limits *l = a->c->desk->w->limits;

    if (!a->p.has_will)
        return 0;
    if (a->p.will.qos > l->maximum_qos)
        return RC_QOS_NOT_SUPPORTED; /* [MQTT-3.2.2-12] */
    if (a->p.will.retain && !l->retain)
        return RC_RETAIN_NOT_SUPPORTED; /* [MQTT-3.2.2-13] */
    if (a->p.will.topic.len > l->max_topic_length ||
        a->p.will.topic.len + a->c->policy->mount_len > UINT16_MAX ||
        topic_name_check(a->p.will.topic, l->max_topic_levels) != TOPIC_OK ||
        str_starts(a->p.will.topic, STR("$SYS/")))
        return RC_TOPIC_INVALID;
    return 0;
}

/* -- Who is it? -- */

static void facts_of(const struct attempt *a, char *address, struct identity_facts *out)
{
    client_facts(a->c, &a->facts, address, out);
    out->id = a->client_id;
    out->username = a->username;
    out->has_username = a->has_username;
}

static void identify(struct attempt *a)
{
    const struct policy *policy = a->c->policy;

    conn_facts(a->c->conn, &a->facts);
    a->has_username = a->p.has_username;
    a->username = a->p.username;
    if (policy->username_from != USERNAME_NONE && a->facts.cert_verified) {
        a->username =
            policy->username_from == USERNAME_CN ? a->facts.cert_cn : a->facts.cert_subject;
        a->has_username = a->vouched = a->username.len > 0;
    } else if (a->facts.psk_identity.len > 0) {
        a->vouched = true;
        if (policy->username_from_psk) {
            a->username = a->facts.psk_identity;
            a->has_username = true;
        }
    }
}

/* Enhanced authentication if asked for, else what the modules of the listener say; when they have
 * no opinion, the transport's word, then the listener's rule for clients nobody vouches for.
 * NULL: nobody had to be asked, and *verdict is the answer. */
static struct skep_request *decide(struct attempt *a, enum skep_verdict *verdict)
{
    struct client *c = a->c;
    bool otherwise = a->vouched || c->policy->anonymous;
    char address[CONN_ADDR_MAX];
    struct identity_facts facts;

    *verdict = otherwise ? SKEP_ALLOW : SKEP_DENY;
    if (a->p.has_auth_method && !client_asks(c, SKEP_STAGE_AUTH)) {
        a->reason = RC_BAD_AUTH_METHOD; /* [MQTT-4.12.0-1] */
        *verdict = SKEP_DENY;
        return NULL;
    }
    if (!a->p.has_auth_method && !client_asks(c, SKEP_STAGE_CONNECT))
        return NULL;
    facts_of(a, address, &facts);
    if (!a->p.has_auth_method)
        return ask_connect(client_host(c), &a->p, &facts, otherwise);
    struct client_extra *x = client_extra(c);
    if (!x->auth_method)
        x->auth_method = str_dup(a->p.auth_method);
    return ask_auth(client_host(c), &a->p, &facts, a->p.auth_method, a->p.auth_data, a->p.props);
}

/* -- CONNACK -- */

static uint16_t imposed_keep_alive(const struct attempt *a)
{
    const struct limits *l = a->c->desk->w->limits;
    uint16_t want = a->p.keep_alive;

    if (l->server_keep_alive && a->p.version == MQTT_50)
        want = l->server_keep_alive;
    uint64_t most = host_client_quota(a->c->host, SKEP_QUOTA_KEEP_ALIVE_S);
    if (l->keep_alive_max && l->keep_alive_max < most)
        most = l->keep_alive_max;
    if (most > 0 && most <= UINT16_MAX && (want == 0 || want > most))
        want = (uint16_t)most;
    return want;
}

/* Where this client's response topics should begin; empty unless it asked [MQTT-3.1.2-28],
 * and where its id would make something else of it. */
static struct str response_info(const struct attempt *a, char *out, size_t size)
{
    const char *prefix = a->c->desk->w->limits->response_prefix;
    size_t len = strlen(prefix);

    if (!a->p.request_response_info || len == 0 || len + a->client_id.len > size ||
        memchr(a->client_id.ptr, '+', a->client_id.len) ||
        memchr(a->client_id.ptr, '#', a->client_id.len))
        return STR_NONE;
    memcpy(out, prefix, len);
    memcpy(out + len, a->client_id.ptr, a->client_id.len);
    return (struct str){out, len + a->client_id.len};
}

static void connack_v5(const struct attempt *a, const struct session *s,
                       struct mqtt_connack_out *ack)
{
    const struct client *c = a->c;
    const struct limits *l = c->desk->w->limits;

    ack->receive_maximum = l->receive_maximum;
    ack->maximum_qos = l->maximum_qos;
    ack->no_retain = !l->retain;
    ack->no_wildcard = !l->wildcard_subscriptions;
    ack->no_subscription_id = !l->subscription_identifiers;
    ack->no_shared = !l->shared_subscriptions;
    ack->maximum_packet_size = l->max_packet;
    ack->topic_alias_maximum = l->topic_alias_maximum;
    ack->has_server_keep_alive = c->keep_alive != a->p.keep_alive;
    ack->server_keep_alive = c->keep_alive;
    ack->has_session_expiry = s->expiry != a->p.session_expiry;
    ack->session_expiry = s->expiry;
    if (a->assigned)
        ack->assigned_client_id = a->client_id; /* [MQTT-3.1.3-7] */
    if (a->p.has_auth_method) {                 /* [MQTT-4.12.0-5] */
        ack->has_auth_method = true;
        ack->auth_method = a->p.auth_method;
        ack->auth_data = host_auth_reply(c->host);
    }
}

static void put_connack(const struct attempt *a, const struct session *s, bool present,
                        struct mqtt_out *out)
{
    struct mqtt_connack_out ack = {.version = a->p.version,
                                   .session_present = present,
                                   .receive_maximum = 65535,
                                   .maximum_qos = 2};

    char info[RESPONSE_INFO_MAX];

    if (a->p.version == MQTT_50) {
        connack_v5(a, s, &ack);
        ack.response_info = response_info(a, info, sizeof info);
    }
    mqtt_put_connack(out, &ack, a->c->link.maximum_packet);
}

/* -- The session -- */

static uint32_t capped(uint32_t value, uint64_t most)
{
    return value < most ? value : (uint32_t)most;
}

static void session_settings(struct attempt *a, struct session *s)
{
    const struct limits *l = a->c->desk->w->limits;

    const struct host_client *hc = a->c->host;

    s->version = a->p.version;
    s->expiry = capped(capped(a->p.session_expiry, l->session_expiry_max),
                       host_client_quota(hc, SKEP_QUOTA_SESSION_EXPIRY_S));
    session_identify(s, hc && hc->who ? identity_ref(hc->who) : NULL);
    will_free(&s->will);
    if (a->p.has_will) {
        struct mqtt_will will = a->p.will;
        uint8_t *props = xmalloc(will.props.len + 1);
        size_t len = mqtt_props_forward(will.props, props);
        uint8_t *topic = a->c->desk->topic;
        uint16_t mount = a->c->policy->mount_len;

        if (mount > 0) /* no mount point is NULL, which memcpy may not be given */
            memcpy(topic, a->c->policy->mount_point, mount);
        memcpy(topic + mount, will.topic.ptr, will.topic.len);
        will.topic = (struct str){(char *)topic, mount + will.topic.len};
        will.delay = capped(will.delay, l->will_delay_max);
        will_set(s, &will, (struct str){(char *)props, len});
        s->will->by = hc && hc->who ? identity_ref(hc->who) : NULL;
        free(props);
    }
}

static void link_settings(struct attempt *a)
{
    struct client *c = a->c;
    const struct limits *l = c->desk->w->limits;

    c->link.version = a->p.version;
    c->link.quota = a->p.receive_maximum < l->max_inflight ? a->p.receive_maximum : l->max_inflight;
    c->link.alias_maximum = a->p.topic_alias_maximum;
    c->link.mount_len = c->policy->mount_len;
    c->problem_info = a->p.request_problem_info;
    c->has_username = a->has_username;
    c->keep_alive = imposed_keep_alive(a);
}

static void log_connected(const struct attempt *a, bool present)
{
    char peer[CONN_ADDR_MAX];

    if (log_level_get() > LOG_LEVEL_DEBUG)
        return;
    log_kv(LOG_LEVEL_DEBUG, "front", "client connected", LOG_STR("client", a->client_id),
           LOG_TEXT("address", conn_peer(a->c->conn, peer)), LOG_UINT("version", a->p.version),
           LOG_UINT("keep_alive", a->c->keep_alive), LOG_BOOL("session_present", present));
}

/* From here on the client is served. */
static void go_live(struct client *c, struct session *s)
{
    entrance_settled(c);
    client_arm(c);
    COUNT(c->desk->w, connects);
    atomic_store_explicit(&s->subs.connected_s, (uint32_t)(loop_wall_ms(c->desk->loop) / 1000),
                          memory_order_relaxed);
    client_attach(c, s);
    sessions_attached(c->desk->w, s);
    client_tell_connected(c, s, c->extra->claim.present);
}

static void welcome(struct attempt *a, const struct claim *claim)
{
    struct client *c = a->c;
    struct session *s = claim->session;

    link_settings(a);
    session_settings(a, s);
    bool waits = sessions_record(c->desk->w, claim, s) > 0;
    struct mqtt_out out = client_answer(
        c, CONNACK_ROOM + a->client_id.len + a->p.auth_method.len + host_auth_reply(c->host).len,
        waits);
    put_connack(a, s, claim->present, &out);
    client_answer_done(c, &out, waits);
    host_auth_end(c->host);
    log_connected(a, claim->present);
    if (waits) {
        c->extra->settling = s;
        c->state = CLIENT_SETTLING;
        conn_pause(c->conn);
    } else {
        go_live(c, s);
    }
}

/* -- Claiming -- */

/* On the worker that let go of the session. */
static void claim_ready(struct claim *claim, enum claim_result result)
{
    struct client_extra *x = CONTAINER_OF(claim, struct client_extra, claim);

    x->claim_result = result;
    client_post(x->owner, client_claim_decided);
}

static void refuse_claim(struct client *c, enum claim_result result)
{
    if (result == CLAIM_FOREIGN)
        client_end(c, RC_NOT_AUTHORIZED, "client identifier belongs to another user");
    else if (result == CLAIM_LIMIT)
        client_end(c, RC_QUOTA_EXCEEDED, "too many sessions");
    else
        client_end(c, RC_SERVER_BUSY, "a newer connection has this client identifier");
}

/* The user name that a module, or the client itself, gave. */
static void take_name(struct attempt *a)
{
    const struct host_client *hc = a->c->host;

    if (!hc || !hc->who)
        return;
    a->username = hc->who->facts.username;
    a->has_username = hc->who->facts.has_username;
}

static void assign_id(struct attempt *a)
{
    struct client_extra *x = client_extra(a->c);

    if (x->assigned_len == 0)
        x->assigned_len =
            (uint8_t)sessions_assign_id(a->c->desk->w, x->assigned_id, sizeof x->assigned_id);
    a->client_id = (struct str){x->assigned_id, x->assigned_len};
    a->assigned = true;
}

static void read_on(struct client *c)
{
    if (c->state != CLIENT_SETTLING && conn_paused(c->conn) && !c->paused)
        conn_resume(c->conn);
}

/* The answer will take a while: keep the packet, and read no further meanwhile.  (During
 * an authentication exchange reading goes on: AUTH packets come.) */
static void park(struct attempt *a, enum client_state state, bool keep_reading)
{
    struct client *c = a->c;
    struct client_extra *x = client_extra(c);

    if (!x->connect) {
        x->connect = xmalloc(a->packet.len);
        x->connect_len = (uint32_t)a->packet.len;
        memcpy(x->connect, a->packet.ptr, a->packet.len);
    }
    c->state = state;
    if (keep_reading)
        read_on(c);
    else
        conn_pause(c->conn);
}

static void unpark(struct client *c)
{
    read_on(c);
    client_extra_trim(c);
}

/* The session is ours.  False: what it is subscribed to is still being asked about. */
static bool may_keep(struct attempt *a, const struct claim *claim)
{
    struct client *c = a->c;

    if (!claim->present || claim->session->subs.count == 0 || !client_asks(c, SKEP_STAGE_SUBSCRIBE))
        return true;
    c->extra->settling = claim->session;
    if (client_resume(c)) {
        c->extra->settling = NULL;
        return true;
    }
    park(a, CLIENT_CLAIMING, false);
    return false;
}

static void claim_session(struct attempt *a)
{
    struct client *c = a->c;
    struct claim *claim = &client_extra(c)->claim;

    if (journal_refusing(c->desk->w) && a->p.session_expiry > 0) {
        client_end(c, RC_SERVER_UNAVAILABLE, "the disk takes no sessions at the moment");
        return;
    }
    *claim = (struct claim){.client_id = a->client_id,
                            .username = a->username,
                            .has_username = a->has_username,
                            .clean_start = a->p.clean_start,
                            .realm = c->policy->realm,
                            .ready = claim_ready};
    atomic_fetch_add(&c->pending, 1); /* before ready() can be called */
    enum claim_result result = sessions_claim(c->desk->w, claim);
    if (result == CLAIM_WAITING) {
        /* ready() may be under way already: it only posts, so parking now is in time. */
        c->claiming = true;
        park(a, CLIENT_CLAIMING, false);
        return;
    }
    atomic_fetch_sub(&c->pending, 1);
    if (result == CLAIM_GRANTED && !may_keep(a, claim))
        return;
    if (result == CLAIM_GRANTED)
        welcome(a, claim);
    else
        refuse_claim(c, result);
    unpark(c);
}

/* -- The course of an attempt -- */

static void refuse(struct client *c, uint8_t reason, struct str text)
{
    client_redirect(c, client_reason(MQTT_CONNACK, reason), text, host_server_reference(c->host));
    host_auth_end(c->host);
}

/* Who it is from now on.  A module may have given it another user name. */
static void introduce(struct attempt *a)
{
    struct client *c = a->c;
    char address[CONN_ADDR_MAX];
    struct identity_facts facts;

    if (a->client_id.len == 0)
        assign_id(a);
    if (c->host && c->host->connecting) {
        identity_unref(host_client_admit(c->host, a->client_id));
    } else if (chain_now(c->policy->chain)->asks) {
        facts_of(a, address, &facts);
        host_client_introduce(client_host(c), &facts);
    }
    take_name(a);
}

static void will_answered(struct attempt *a, struct skep_request *r)
{
    if (r->verdict == SKEP_PENDING) {
        park(a, CLIENT_DECIDING, false);
        request_kept(r, a->packet, a->c->extra->connect);
        return;
    }
    if (r->verdict == SKEP_ALLOW)
        claim_session(a);
    else
        refuse(a->c, r->reason, r->text);
    request_end(&r);
}

/* It may connect: may it leave that will? */
static void admitted(struct attempt *a)
{
    const struct mqtt_will *will = &a->p.will;

    introduce(a);
    if (!a->p.has_will || !client_asks(a->c, SKEP_STAGE_WILL)) {
        claim_session(a);
        return;
    }
    will_answered(a, ask_will(client_host(a->c), &(struct asked_message){.topic = will->topic,
                                                                         .payload = will->payload,
                                                                         .props = will->props,
                                                                         .expiry = will->expiry,
                                                                         .qos = will->qos,
                                                                         .retain = will->retain}));
}

/* Takes over r. */
static void answered(struct attempt *a, struct skep_request *r)
{
    struct client *c = a->c;

    switch (r->verdict) {
    case SKEP_ALLOW:
        request_end(&r);
        admitted(a);
        return;
    case SKEP_PENDING:
        park(a, CLIENT_DECIDING, false);
        request_kept(r, a->packet, c->extra->connect);
        return;
    case SKEP_CONTINUE:
        park(a, CLIENT_DECIDING, true);
        request_kept(r, a->packet, c->extra->connect);
        request_end(&r);
        client_put_auth(c, RC_CONTINUE_AUTH, a->p.auth_method, host_auth_reply(c->host));
        return;
    default:
        refuse(c, r->reason, r->text);
        request_end(&r);
    }
}

static int attempt_decode(struct attempt *a, const struct mqtt_frame *frame)
{
    struct client *c = a->c;
    int err = mqtt_decode_connect(frame, &a->p);

    if (err == 0 || err == RC_UNSUPPORTED_VERSION)
        c->version = a->p.version;
    if (err == RC_UNSUPPORTED_VERSION && a->p.version < MQTT_50)
        c->version = MQTT_311;
    else if (err == RC_UNSUPPORTED_VERSION)
        c->version = MQTT_50;
    else if (err && a->p.version == MQTT_50)
        c->version = MQTT_50;
    if (err)
        return err;
    c->bridge = a->p.bridge;
    c->link.maximum_packet = a->p.maximum_packet_size;
    c->problem_info = a->p.request_problem_info;
    a->client_id = a->p.client_id;
    identify(a);
    return 0;
}

void client_connect(struct client *c, const struct mqtt_frame *frame)
{
    struct attempt a = {.c = c, .packet = {frame->body.ptr, frame->body.len}};
    int err = attempt_decode(&a, frame);

    if (err)
        COUNT(c->desk->w, protocol_errors);
    if (!err)
        err = check_version(&a);
    if (!err)
        err = check_client_id(&a);
    if (!err)
        err = check_will(&a);
    if (!err && !entrance_connect_rate(c))
        err = RC_CONNECTION_RATE;
    if (err) {
        client_end(c, (uint8_t)err, NULL);
        return;
    }
    enum skep_verdict verdict;
    struct skep_request *r = decide(&a, &verdict);
    if (r)
        answered(&a, r);
    else if (verdict == SKEP_ALLOW)
        admitted(&a);
    else
        refuse(c, a.reason, STR_NONE);
}

/* The attempt again, from the packet that was kept. */
static void attempt_again(struct client *c, struct attempt *a)
{
    struct client_extra *x = c->extra;
    struct mqtt_frame frame = {.type = MQTT_CONNECT, .body = {x->connect, x->connect_len}};

    *a = (struct attempt){.c = c, .packet = frame.body};
    int err = attempt_decode(a, &frame);
    ASSERT(err == 0);
    if (x->assigned_len) {
        a->client_id = (struct str){x->assigned_id, x->assigned_len};
        a->assigned = true;
    }
    take_name(a);
}

/* The session is ours, or will not be. */
void client_claim_decided(struct client *c)
{
    struct client_extra *x = c->extra;
    struct attempt a;

    c->claiming = false;
    if (c->gone || c->state != CLIENT_CLAIMING) { /* too late: back to the table */
        if (x->claim_result == CLAIM_GRANTED)
            sessions_release(c->desk->w, x->claim.session);
        return;
    }
    attempt_again(c, &a);
    if (x->claim_result == CLAIM_GRANTED && !may_keep(&a, &x->claim))
        return;
    if (x->claim_result == CLAIM_GRANTED)
        welcome(&a, &x->claim);
    else
        refuse_claim(c, x->claim_result);
    unpark(c);
}

void client_settled(struct client *c)
{
    struct session *s = c->extra->settling;

    c->extra->settling = NULL;
    go_live(c, s);
    unpark(c);
}

void client_connect_decided(struct client *c, struct skep_request *r)
{
    struct attempt a;

    attempt_again(c, &a);
    if (r->stage == SKEP_STAGE_WILL)
        will_answered(&a, r);
    else
        answered(&a, r);
}

void client_resumed(struct client *c)
{
    struct attempt a;

    attempt_again(c, &a);
    c->extra->settling = NULL;
    welcome(&a, &c->extra->claim);
    unpark(c);
}
