/* SPDX-License-Identifier: Apache-2.0 */
#include "common.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *program_name = "gn2";

int usage_error(const char *what, const char *value)
{
    fprintf(stderr, "%s: %s%s%s; --help says more\n", program_name, what,
            value ? ": " : "", value ? value : "");
    return EXIT_USAGE;
}

int library_error(gn2_status status)
{
    fprintf(stderr, "%s: %s (%s)\n", program_name, gn2_last_error(),
            gn2_status_name(status));
    return EXIT_FAILED;
}

int is_setting(const char *word)
{
    const char *equals = strchr(word, '=');
    const char *dot = strchr(word, '.');
    if (!equals || !dot || dot > equals) return 0;
    for (const char *c = word; c < equals; c++)
        if (!isalnum((unsigned char)*c) && !strchr("._*", *c)) return 0;
    return 1;
}

gn2_status apply_setting(gn2_config *config, const char *word)
{
    char key[256];
    const char *equals = strchr(word, '=');
    snprintf(key, sizeof key, "%.*s", (int)(equals - word), word);
    return gn2_config_set_text(config, key, equals + 1);
}

void print_keys(void)
{
    for (size_t i = 0; i < gn2_config_count(); i++) {
        gn2_config_info info = {.struct_size = sizeof info};
        if (gn2_config_describe(i, &info)) continue;
        printf("%s=%s\n    %s%s%s\n", info.key, info.default_text, info.doc,
               info.choices ? "; one of " : "", info.choices ? info.choices : "");
    }
}

int read_number(const char *text, int64_t least, int64_t *out)
{
    char *end;
    errno = 0;
    const long long value = strtoll(text, &end, 10);
    if (errno || end == text || *end || value < least) return 0;
    *out = value;
    return 1;
}

static gn2_status copy_key(const gn2_model *model, gn2_config *config, const char *key)
{
    const char *text = NULL;
    TRY(gn2_model_metadata_get(model, key, &text));
    return gn2_config_set_text(config, key, text);
}

/* What says how jets are read: inputs, tasks and their labels. */
static int describes_jets(const char *key)
{
    return strncmp(key, "model.", 6) == 0 || strncmp(key, "inputs.", 7) == 0 ||
           strncmp(key, "task.", 5) == 0;
}

gn2_status describe_model(const gn2_model *model, gn2_config *config)
{
    gn2_config *own = NULL;
    gn2_status status = gn2_model_config(model, &own);
    const char *key;
    for (size_t i = 0; !status && (key = gn2_config_key_name(own, i)); i++)
        if (describes_jets(key)) status = copy_key(model, config, key);
    gn2_config_free(own);
    return status;
}

int show_text(int option, const char *help)
{
    if (option == 'h') fputs(help, stdout);
    if (option == OPT_KEYS) print_keys();
    if (option == OPT_VERSION) printf("%s (libgn2) %s\n", program_name, gn2_version());
    return EXIT_SUCCESS;
}
