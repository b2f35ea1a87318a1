/*
 * tree: a JSON object under construction, for records whose members cannot go straight into the
 * document: names with dots, names that meet, values that must be rewritten. Nodes and text come
 * from an arena that is emptied for every record.
 *
 * Names: each part of a dotted name is a level; a name that is no path
 * (".a", "a..b", more than TREE_MAX_PARTS parts) has '_' for each dot, a blank one is "_". Where a
 * scalar meets an object the scalar goes into it as "value". What still finds its place taken
 * moves: to app.NAME, else to NAME_2, NAME_3 …, unless it is the same value.
 *
 * One tree per thread.
 */
#ifndef BARGE_TREE_H
#define BARGE_TREE_H

#include "agent/base/base.h"
#include "parsers/json.h"

#define TREE_MAX_NAME 512
#define TREE_MAX_PARTS 16
#define TREE_MAX_NODES 8192
#define TREE_MAX_DEPTH 96 /* JSON_MAX_DEPTH, and what a dotted name adds on the way */

enum node_kind {
    NODE_OBJECT,  /* children; left out of the text when it has none and `shown` is false */
    NODE_ARRAY,   /* children without names */
    NODE_JSON,    /* value is JSON text, as it stands */
    NODE_REWRITE, /* value is JSON text for json_rewrite */
    NODE_STRING,  /* value is the inside of a string */
    NODE_MEMBERS  /* value is ready members, `"a":1,"b":2`, without a name of their own */
};

struct node {
    struct node *parent, *next, *first, *last;
    struct bytes name; /* inside of a string, in one spelling */
    struct bytes value;
    uint32_t name_hash;
    uint32_t n_children;
    uint16_t numbered; /* NAME_2 … NAME_numbered are taken */
    uint8_t kind;
    bool shown; /* an object that is written although it is empty */
    bool ours;  /* nothing displaces or enters it */
};

struct tree;

struct tree *tree_create(void);
void tree_free(struct tree *t);

/* Empties the tree and its arena; big blocks are given back. record_bytes: the length of what will
 * be put into it, which bounds the work. Returns the root object. */
struct node *tree_reset(struct tree *t, size_t record_bytes);

/* Whether something did not fit TREE_MAX_NODES or TREE_MAX_DEPTH since tree_reset, had no place, or
 * would have cost more time than its length is worth: the tree is then incomplete. */
bool tree_overflowed(const struct tree *t);

/* n bytes that live until tree_reset. */
char *tree_alloc(struct tree *t, size_t n);

/* The parts of a dotted name. */
struct path {
    struct bytes part[TREE_MAX_PARTS + 4];
    size_t n;
};

/* Adds the parts of key, each cut at max_name bytes (inside of a string; flags: JSON_KEY_…,
 * JSON_NEEDS_REWRITE) to *to, which has room for TREE_MAX_PARTS. */
void tree_split(struct tree *t, struct bytes key, uint8_t flags, size_t max_name, struct path *to);

/* The one spelling of a name: escapes undone where they need not be. No splitting. */
struct bytes tree_spell(struct tree *t, struct bytes key, uint8_t flags);

/* The same, cut and not blank: a name of one part, dots and all. */
struct bytes tree_name(struct tree *t, struct bytes key, uint8_t flags);

/* Leaves of members with the same name, also when spelled differently, only the last. Returns how
 * many are left. */
size_t tree_drop_repeated(struct tree *t, struct json_member *m, size_t n);

/* A value on its way into the tree. */
struct tree_value {
    struct bytes text; /* as node.value of that kind */
    uint8_t kind;      /* NODE_JSON, NODE_REWRITE or NODE_STRING */
};

/* Whether an object or array (valid JSON text) must be taken apart, as a name inside it has a dot.
 */
bool tree_must_open(struct bytes text);

/* The value of a member: JSON text, flagged for rewriting where needed. */
struct tree_value tree_value_of(const struct json_member *m);

/* Puts v at path below at. Objects are merged, and taken apart where a name inside has dots. false
 * when the place is taken by another value: v is nowhere then; parts of a merged object that clash
 * are moved as said above. */
bool tree_place(struct tree *t, struct node *at, const struct path *path, struct tree_value v);

/* The same, but moves v when its place is taken: to app.PATH, …. */
void tree_place_or_move(struct tree *t, struct node *root, const struct path *path,
                        struct tree_value v);

/* The same, but moves v only to NAME_2, NAME_3 …. */
void tree_place_or_number(struct tree *t, struct node *at, const struct path *path,
                          struct tree_value v);

/* The child of that name, or NULL. An object that is still text is taken apart by tree_open first.
 */
struct node *tree_child(struct tree *t, const struct node *object, struct bytes name);

/* Makes a node that holds an object as text into one with children. false when it holds no object.
 */
bool tree_open(struct tree *t, struct node *n);

/* Adds a child at the end, without looking whether the name is there. name: in its one spelling;
 * static or in the arena. NULL when the tree is full. */
struct node *tree_append(struct tree *t, struct node *parent, struct bytes name,
                         enum node_kind kind, struct bytes value);

/* Takes a node out of its parent. */
void tree_detach(struct tree *t, struct node *n);

/* Rewrites what is marked for it below n; *repaired as json_rewrite has it. Before tree_bound and
 * tree_write. */
void tree_settle(struct tree *t, struct node *n, bool *repaired);

/* An upper bound for the text of n. */
size_t tree_bound(const struct node *n);

/* Writes n as JSON text. Returns the length. */
size_t tree_write(const struct node *n, char *to);

#endif
