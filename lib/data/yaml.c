/* SPDX-License-Identifier: Apache-2.0 */
#include "data/yaml.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "util/alloc.h"
#include "util/error.h"
#include "util/file.h"
#include "util/str.h"

/* Largest file and deepest nesting; both far above what the dicts need. */
#define YAML_LIMIT ((size_t)16 << 20)
#define YAML_DEPTH 16
/* What ends a scalar in braces or brackets, or a key. */
#define FLOW_STOPS ",{}[]"

/* `at` stands at the first character of a line that is not blank; `indent` are the
 * blanks before it, −1 at the end. */
typedef struct parser {
    gn2_yaml *yaml;
    const char *at;
    int32_t line, indent, depth;
} parser;

static gn2_status fail(const parser *p, const char *what)
{
    return gn2_fail(GN2_ERR_FORMAT, "'%s', line %d: %s", p->yaml->path, p->line, what);
}

/* ---- nodes ---- */

static gn2_status copy_text(const char *text, const char *end, char **out_copy)
{
    *out_copy = gn2_alloc((size_t)(end - text) + 1, 1);
    if (!*out_copy) return gn2_fail_memory();
    memcpy(*out_copy, text, (size_t)(end - text));
    return GN2_OK;
}

static void join(gn2_yaml *y, int32_t parent, int32_t child)
{
    gn2_yaml_node *above = &y->node[parent];
    if (above->last >= 0)
        y->node[above->last].next = child;
    else
        above->first = child;
    above->last = child;
}

static gn2_status add_node(parser *p, int32_t parent, char *key, int32_t *out_node)
{
    gn2_yaml *y = p->yaml;
    const size_t used = (size_t)y->count;
    if (!gn2_reserve(&y->node, &y->capacity, used, used + 1, sizeof *y->node)) {
        gn2_free(key);
        return gn2_fail_memory();
    }
    y->node[y->count] = (gn2_yaml_node){parent, p->line, -1, -1, -1, key, NULL};
    *out_node = y->count++;
    if (parent >= 0) join(y, parent, *out_node);
    return GN2_OK;
}

/* Same parents side by side, same keys of one too, in the order of the file. */
static int compare_keys(const void *a, const void *b)
{
    const gn2_yaml_node *x = *(const gn2_yaml_node *const *)a;
    const gn2_yaml_node *y = *(const gn2_yaml_node *const *)b;
    if (x->parent != y->parent) return x->parent < y->parent ? -1 : 1;
    const int order = strcmp(x->key, y->key);
    return order != 0 ? order : (x > y) - (x < y);
}

static gn2_status check_keys(parser *p)
{
    const gn2_yaml *y = p->yaml;
    const gn2_yaml_node **keyed = gn2_alloc((size_t)y->count + 1, sizeof *keyed);
    const gn2_yaml_node *twice = NULL;
    size_t count = 0;
    if (!keyed) return gn2_fail_memory();
    for (int32_t i = 0; i < y->count; i++)
        if (y->node[i].key) keyed[count++] = &y->node[i];
    qsort(keyed, count, sizeof *keyed, compare_keys);
    for (size_t i = 1; i < count; i++)
        if (keyed[i]->parent == keyed[i - 1]->parent &&
            strcmp(keyed[i]->key, keyed[i - 1]->key) == 0)
            if (!twice || keyed[i] < twice) twice = keyed[i];
    gn2_free(keyed);
    if (!twice) return GN2_OK;
    p->line = twice->line;
    return fail(p, "a key is given twice");
}

/* ---- characters ---- */

static void skip_blanks(parser *p)
{
    while (*p->at == ' ') p->at++;
}

static int at_comment(const parser *p, const char *start)
{
    return *p->at == '#' && (p->at == start || p->at[-1] == ' ' || p->at[-1] == '\n');
}

static void skip_comment(parser *p)
{
    if (*p->at == '#')
        while (*p->at && *p->at != '\n') p->at++;
}

/* Goes on to what comes next, on this line or another. */
static gn2_status skip_lines(parser *p)
{
    for (;;) {
        const char *start = p->at;
        skip_blanks(p);
        const int32_t indent = (int32_t)(p->at - start);
        skip_comment(p);
        if (*p->at == '\t') return fail(p, "a tab; indent with blanks");
        p->indent = *p->at ? indent : -1;
        if (*p->at != '\n') return GN2_OK;
        p->at++;
        p->line++;
    }
}

/* After a value only a comment may follow on the line. */
static gn2_status end_line(parser *p)
{
    skip_blanks(p);
    skip_comment(p);
    if (*p->at != '\n' && *p->at) return fail(p, "text after a value");
    return skip_lines(p);
}

/* ---- scalars ---- */

static gn2_status quoted(parser *p, char **out_text)
{
    const char quote = *p->at++;
    const char *start = p->at;
    while (*p->at && *p->at != quote && *p->at != '\n' && *p->at != '\\') p->at++;
    if (*p->at != quote) return fail(p, "a quoted text that is not closed or escaped");
    const char *end = p->at++;
    return copy_text(start, end, out_text);
}

/* Up to the end of the line, a comment, ": " or one of `stops`. */
static gn2_status plain(parser *p, const char *stops, char **out_text)
{
    const char *start = p->at;
    if (*start && strchr("&*!|>%@`?{}[],", *start))
        return fail(p, "a kind of YAML that is not supported here");
    while (*p->at && *p->at != '\n' && !strchr(stops, *p->at) &&
           !at_comment(p, start)) {
        if (*p->at == '\t') return fail(p, "a tab");
        if (*p->at == ':' && (p->at[1] == ' ' || p->at[1] == '\n' || !p->at[1])) break;
        p->at++;
    }
    const char *end = p->at;
    while (end > start && end[-1] == ' ') end--;
    return copy_text(start, end, out_text);
}

static gn2_status scalar(parser *p, const char *stops, char **out_text)
{
    if (*p->at == '"' || *p->at == '\'') return quoted(p, out_text);
    return plain(p, stops, out_text);
}

/* "key:" and the blanks behind it. */
static gn2_status read_key(parser *p, int32_t parent, int32_t *out_node)
{
    char *key = NULL;
    const char *start = p->at;
    GN2_TRY(scalar(p, FLOW_STOPS, &key));
    if (*p->at != ':' || p->at == start) {
        gn2_free(key);
        return fail(p, "'key: value' expected");
    }
    p->at++;
    skip_blanks(p);
    return add_node(p, parent, key, out_node);
}

/* ---- braces and brackets, over lines if need be ---- */

static gn2_status value(parser *p, const char *stops, int32_t node);

static gn2_status flow_entry(parser *p, int32_t parent, char close)
{
    int32_t node;
    GN2_TRY(close == '}' ? read_key(p, parent, &node)
                         : add_node(p, parent, NULL, &node));
    GN2_TRY(skip_lines(p));
    GN2_TRY(value(p, FLOW_STOPS, node));
    GN2_TRY(skip_lines(p));
    if (*p->at == close) return GN2_OK;
    if (*p->at != ',') return fail(p, "',' or a closing bracket expected");
    p->at++;
    return skip_lines(p);
}

static gn2_status flow(parser *p, int32_t parent)
{
    const char close = *p->at == '{' ? '}' : ']';
    if (++p->depth > YAML_DEPTH) return fail(p, "nested too deeply");
    p->at++;
    GN2_TRY(skip_lines(p));
    while (*p->at != close) GN2_TRY(flow_entry(p, parent, close));
    p->at++;
    p->depth--;
    return GN2_OK;
}

static gn2_status value(parser *p, const char *stops, int32_t node)
{
    if (*p->at == '{' || *p->at == '[') return flow(p, node);
    return scalar(p, stops, &p->yaml->node[node].text);
}

/* ---- by indentation ---- */

static gn2_status block(parser *p, int32_t parent);

static int at_dash(const parser *p)
{
    return *p->at == '-' && (p->at[1] == ' ' || p->at[1] == '\n');
}

static gn2_status line_value(parser *p, int32_t node)
{
    GN2_TRY(value(p, "", node));
    return end_line(p);
}

static gn2_status list(parser *p, int32_t parent, int32_t indent)
{
    while (p->indent == indent && at_dash(p)) {
        int32_t node;
        p->at++;
        skip_blanks(p);
        GN2_TRY(add_node(p, parent, NULL, &node));
        GN2_TRY(line_value(p, node));
    }
    return GN2_OK;
}

static gn2_status entry(parser *p, int32_t parent, int32_t indent)
{
    int32_t node;
    GN2_TRY(read_key(p, parent, &node));
    const int ends = !*p->at || *p->at == '\n' || *p->at == '#';
    if (!ends) return line_value(p, node);
    GN2_TRY(end_line(p));
    if (p->indent == indent && at_dash(p)) return list(p, node, indent);
    return p->indent > indent ? block(p, node) : GN2_OK;
}

static gn2_status block(parser *p, int32_t parent)
{
    const int32_t indent = p->indent;
    if (++p->depth > YAML_DEPTH) return fail(p, "nested too deeply");
    if (at_dash(p)) GN2_TRY(list(p, parent, indent));
    while (p->indent == indent && !at_dash(p)) GN2_TRY(entry(p, parent, indent));
    if (p->indent > indent) return fail(p, "indented more than its neighbours");
    p->depth--;
    return GN2_OK;
}

static gn2_status document(parser *p)
{
    int32_t root = 0;
    GN2_TRY(add_node(p, -1, NULL, &root));
    GN2_TRY(skip_lines(p));
    if (p->indent == 0 && strncmp(p->at, "---", 3) == 0) {
        p->at += 3;
        GN2_TRY(end_line(p));
    }
    if (p->indent < 0) return GN2_OK;
    GN2_TRY(block(p, root));
    return p->indent < 0 ? GN2_OK : fail(p, "indented less than its neighbours");
}

/* A copy without byte-order mark, lines ended by \n where they end by \r\n or \r. */
static char *plain_lines(const char *text)
{
    if (strncmp(text, "\xEF\xBB\xBF", 3) == 0) text += 3;
    char *copy = gn2_strdup(text), *to = copy;
    if (!copy) return NULL;
    for (; *text; text++)
        if (*text != '\r')
            *to++ = *text;
        else if (text[1] != '\n')
            *to++ = '\n';
    *to = 0;
    return copy;
}

gn2_status gn2_yaml_parse(const char *path, const char *text, gn2_yaml *out_yaml)
{
    memset(out_yaml, 0, sizeof *out_yaml);
    out_yaml->path = gn2_strdup(path);
    if (!out_yaml->path) return gn2_fail_memory();
    char *plain_text = plain_lines(text);
    parser p = {.yaml = out_yaml, .at = plain_text, .line = 1};
    gn2_status status = plain_text ? document(&p) : gn2_fail_memory();
    if (status == GN2_OK) status = check_keys(&p);
    gn2_free(plain_text);
    if (status != GN2_OK) gn2_yaml_clear(out_yaml);
    return status;
}

gn2_status gn2_yaml_load(const char *path, gn2_yaml *out_yaml)
{
    unsigned char *text = NULL;
    size_t size;
    memset(out_yaml, 0, sizeof *out_yaml);
    GN2_TRY(gn2_file_read(path, YAML_LIMIT, &text, &size));
    gn2_status status;
    if (memchr(text, 0, size))
        status = gn2_fail(GN2_ERR_FORMAT, "'%s': not a text file", path);
    else
        status = gn2_yaml_parse(path, (const char *)text, out_yaml);
    gn2_free(text);
    return status;
}

void gn2_yaml_clear(gn2_yaml *yaml)
{
    for (int32_t i = 0; i < yaml->count; i++) {
        gn2_free(yaml->node[i].key);
        gn2_free(yaml->node[i].text);
    }
    gn2_free(yaml->node);
    gn2_free(yaml->path);
    memset(yaml, 0, sizeof *yaml);
}

int32_t gn2_yaml_find(const gn2_yaml *yaml, int32_t parent, const char *key)
{
    for (int32_t i = yaml->node[parent].first; i >= 0; i = yaml->node[i].next)
        if (yaml->node[i].key && strcmp(yaml->node[i].key, key) == 0) return i;
    return -1;
}

gn2_status gn2_yaml_number(const gn2_yaml *yaml, int32_t node, double *out_value)
{
    const gn2_yaml_node *n = &yaml->node[node];
    double value;
    if (!n->text || !gn2_parse_f64(n->text, &value) || !isfinite(value))
        return gn2_fail(GN2_ERR_FORMAT, "'%s', line %d: '%s' is not a finite number",
                        yaml->path, n->line, n->text ? n->text : "");
    *out_value = value;
    return GN2_OK;
}
