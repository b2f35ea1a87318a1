#include "parsers/origin.h"

#include "agent/base/ascii.h"
#include "agent/base/strbuf.h"
#include "agent/base/tally.h"

#include <stdatomic.h>
#include <stdlib.h>

/* Where a part lies in the text under construction, as the text moves while it grows. */
struct range {
    size_t begin, end;
};

static void add_string(struct strbuf *b, const char *before, struct bytes s, const char *after)
{
    strbuf_add_str(b, before);
    strbuf_add_json(b, s);
    strbuf_add_str(b, after);
}

static struct bytes slice(const struct strbuf *b, struct range r)
{
    return r.end > r.begin ? bytes_of(b->p + r.begin, r.end - r.begin) : BYTES_NONE;
}

/* The inside of s as a JSON string. */
static struct range add_inside(struct strbuf *b, struct bytes s)
{
    struct range r = {b->n + 1, 0};

    if (s.n == 0)
        return (struct range){0, 0};
    strbuf_add_json(b, s);
    r.end = b->n - 1;
    return r;
}

static struct range add_container(struct strbuf *b, const struct origin_facts *f)
{
    struct range r = {b->n, 0};

    if (f->container_id.n)
        add_string(b, "\"id\":", f->container_id, ",");
    if (f->container_name.n)
        add_string(b, "\"name\":", f->container_name, ",");
    if (f->image_name.n)
        add_string(b, "\"image\":{\"name\":", f->image_name, "},");
    if (b->n > r.begin)
        b->n--;
    r.end = b->n;
    return r;
}

/* `"NAME":` and the object that each of these is in, as Elastic's agents have it. */
static struct range add_kubernetes(struct strbuf *b, const struct origin_facts *f)
{
    struct range r = {b->n, 0};
    struct bytes pod = f->kubernetes.pod, uid = f->kubernetes.uid;

    if (f->kubernetes.namespace.n)
        add_string(b, "\"namespace\":", f->kubernetes.namespace, ",");
    if (pod.n)
        add_string(b, "\"pod\":{\"name\":", pod, uid.n ? "," : "},");
    if (uid.n)
        add_string(b, pod.n ? "\"uid\":" : "\"pod\":{\"uid\":", uid, "},");
    if (f->kubernetes.container.n)
        add_string(b, "\"container\":{\"name\":", f->kubernetes.container, "},");
    if (f->kubernetes.node.n)
        add_string(b, "\"node\":{\"name\":", f->kubernetes.node, "},");
    if (b->n > r.begin)
        b->n--;
    r.end = b->n;
    return r;
}

static atomic_uint_least64_t serials = 1;

struct origin *origin_create(const struct origin_facts *facts)
{
    struct origin *o = base_calloc(1, sizeof *o);
    struct bytes service = facts->service_label.n ? facts->service_label : facts->service_guess;
    struct strbuf b = {0};
    struct range container = add_container(&b, facts), host = {0, 0};
    struct range host_name, label, guess, raw, member = {0, 0}, file = {0, 0}, path, kubernetes;

    if (facts->host_name.n) {
        host.begin = b.n;
        add_string(&b, ",\"host\":{\"name\":", facts->host_name, "}");
        host.end = b.n;
    }
    host_name = add_inside(&b, facts->host_name);
    label = add_inside(&b, facts->service_label);
    guess = add_inside(&b, facts->service_guess);
    if (service.n) {
        member.begin = b.n;
        add_string(&b, ",\"service\":{\"name\":", service, "}");
        member.end = b.n;
    }
    if (facts->file_path.n) {
        file.begin = b.n;
        add_string(&b, "\"file\":{\"path\":", facts->file_path, "}");
        file.end = b.n;
    }
    path = add_inside(&b, facts->file_path);
    kubernetes = add_kubernetes(&b, facts);
    raw.begin = b.n;
    strbuf_add_bytes(&b, service);
    raw.end = b.n;

    o->text = b.p;
    o->bytes = b.n;
    o->container = slice(&b, container);
    o->host = slice(&b, host);
    o->host_name = slice(&b, host_name);
    o->service_label = slice(&b, label);
    o->service_guess = slice(&b, guess);
    o->service_member = slice(&b, member);
    o->file = slice(&b, file);
    o->file_path = slice(&b, path);
    o->kubernetes = slice(&b, kubernetes);
    o->service = slice(&b, raw);
    o->tally = tally_take(service);
    o->format = facts->format;
    o->serial = atomic_fetch_add(&serials, 1);
    return o;
}

void origin_free(struct origin *o)
{
    if (!o)
        return;
    tally_put(o->tally);
    free(o->text);
    free(o);
}

struct bytes origin_service(const struct origin *o)
{
    return o->service;
}

struct tally *origin_tally(const struct origin *o)
{
    return o->tally;
}

/* ---- the service that labels and names give ---- */

/* shop-orders-1 (compose 2), shop_orders_1 (compose 1) without the number of the replica. */
static struct bytes without_replica(struct bytes name)
{
    size_t n = name.n;

    while (n > 0 && ascii_is_digit(name.p[n - 1]))
        n--;
    if (n < name.n && n > 1 && (name.p[n - 1] == '-' || name.p[n - 1] == '_'))
        name.n = n - 1;
    return name;
}

/* registry:5000/team/orders:1.4@sha256:… → orders. An image given by its id names no service. */
static struct bytes image_base(struct bytes image)
{
    const char *at = image.n ? memchr(image.p, '@', image.n) : NULL;
    const char *slash, *colon;

    if (bytes_starts_with(image, BYTES_LITERAL("sha256:")))
        return BYTES_NONE;
    if (at)
        image.n = (size_t)(at - image.p);
    slash = image.n ? memrchr(image.p, '/', image.n) : NULL;
    if (slash)
        image = bytes_of(slash + 1, image.n - (size_t)(slash + 1 - image.p));
    colon = image.n ? memchr(image.p, ':', image.n) : NULL;
    if (colon)
        image.n = (size_t)(colon - image.p);
    return image;
}

void origin_guess_service(struct origin_facts *facts,
                          struct bytes (*get)(void *arg, const char *label), void *arg)
{
    static const char *const labels[] = {
        "com.docker.swarm.service.name",
        "io.kubernetes.container.name",
        "com.docker.compose.service",
    };
    struct bytes guess = BYTES_NONE;

    facts->service_label = get(arg, "barge.service");
    for (size_t i = 0; i < ARRAY_LEN(labels) && guess.n == 0; i++)
        guess = get(arg, labels[i]);
    if (guess.n == 0)
        guess = without_replica(facts->container_name);
    if (guess.n == 0)
        guess = image_base(facts->image_name);
    facts->service_guess = guess;
}
