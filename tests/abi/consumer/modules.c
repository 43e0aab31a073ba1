/* SPDX-License-Identifier: Apache-2.0 */
/* A client that makes libgn2 load its modules: modules JETS.h5. Says which came. */
#include <gn2/gn2.h>
#include <stdio.h>

static const char *try_onednn(void)
{
    gn2_config *config = NULL;
    gn2_model *model = NULL;
    gn2_tagger *tagger = NULL;
    gn2_status status = gn2_config_create(&config);
    if (!status) status = gn2_config_set_str(config, "compute.gemm", "onednn");
    if (!status) status = gn2_model_create(NULL, &model);
    if (!status) status = gn2_tagger_create(model, config, &tagger);
    gn2_tagger_free(tagger);
    gn2_model_free(model);
    gn2_config_free(config);
    return status ? gn2_status_name(status) : "loaded";
}

static const char *try_hdf5(const char *path)
{
    const char *const paths[] = {path};
    gn2_dataset *dataset = NULL;
    const gn2_status status = gn2_dataset_open(paths, 1, NULL, &dataset);
    gn2_dataset_free(dataset);
    return status ? gn2_status_name(status) : "loaded";
}

int main(int argc, char **argv)
{
    if (argc != 2) return 2;
    printf("libgn2 %s %s\n", gn2_version(), gn2_features());
    printf("onednn %s\n", try_onednn());
    printf("hdf5 %s\n", try_hdf5(argv[1]));
    return 0;
}
