/* SPDX-License-Identifier: Apache-2.0 */
/* What to compute with: instruction set and matrix back end, from the config. */
#ifndef GN2_NET_BACKEND_H
#define GN2_NET_BACKEND_H

#include "net/model.h"
#include "net/net.h"

/* Product options of `compute.*` on a processor that has `found`; GN2_ERR_UNSUPPORTED
 * if it lacks what is asked for or oneDNN cannot be loaded. Who multiplies is settled
 * here, also for `auto`. */
gn2_status gn2_compute_read_on(gn2_isa found, const gn2_config *config,
                               gn2_product_options *out);
/* Those of this processor, with the arithmetic of `key` for a network of this width:
 * "tagger.precision", which goes with the storage of `tagger.weights`, or
 * "train.precision". Whether a back end has the storage shows when products are made;
 * arithmetic that does not exist here is refused at once. */
gn2_status gn2_compute_read(const gn2_config *config, const char *key, int64_t width,
                            gn2_product_options *out);

/* Who multiplies here with `auto` and `compute.isa = best`: own, onednn, reference. */
const char *gn2_compute_auto_name(void);

/* Settles the arithmetic of options that have been read: `text` (f32, bf16, auto) is
 * the value of `key`, one of the two above. */
gn2_status gn2_compute_read_arithmetic(const gn2_config *config, const char *key,
                                       const char *text, int64_t width,
                                       gn2_product_options *out);
/* What was settled: f32 or bf16. */
const char *gn2_compute_arithmetic_name(const gn2_product_options *options);

/* The model's packed weights for inference with these options: made once, under
 * its lock, and kept until the model goes. Marks the model as shared. */
gn2_status gn2_model_net(gn2_model *model, const gn2_product_options *options,
                         const gn2_net_f32 **out_net);

#endif
