/* SPDX-License-Identifier: Apache-2.0 */
/* A client in C that knows only what is installed. */
#include <gn2/gn2.h>
#include <stdio.h>
#include <string.h>

static int fail(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, gn2_last_error());
    return 1;
}

int main(void)
{
    if (gn2_abi_version() != GN2_ABI_VERSION) return fail("another ABI");
    gn2_config *config = NULL;
    if (gn2_config_create(&config)) return fail("config");
    if (gn2_config_set_i64(config, "model.embed_dim", 32)) return fail("embed_dim");
    int64_t width = 0;
    if (gn2_config_get_i64(config, "model.embed_dim", &width) || width != 32)
        return fail("embed_dim came back wrong");
    if (gn2_config_set_i64(config, "model.num_heads", -1) != GN2_ERR_INVALID_ARG)
        return fail("a bad value was taken");
    if (!strstr(gn2_last_error(), "num_heads")) return fail("no word of the key");
    gn2_config_free(config);
    printf("libgn2 %s %s\n", gn2_version(), gn2_features());
    return 0;
}
