/* SPDX-License-Identifier: Apache-2.0 */
/* Every option of the library. Sources of defaults: salt's GN2.yaml and torch.
 * doc/config.md is made of it by tests/src/config_doc.py --update. */
#include "config/table.h"

#include <math.h>

#define ANY -HUGE_VAL, HUGE_VAL, NULL
#define RANGE(least, most) (least), (most), NULL
#define CHOICE(words) -HUGE_VAL, HUGE_VAL, words

/* What a float holds, with a bound that reads well; and as a divisor. */
#define SINGLE RANGE(-3.4e38, 3.4e38)
#define SINGLE_UP RANGE(0, 3.4e38)
#define SINGLE_STD RANGE(1.2e-38, 3.4e38)

#define ORIGINS "Pileup,Fake,Primary,FromB,FromBC,FromC,FromTau,OtherSecondary"
#define TRACK_INPUTS                                                                 \
    "d0,z0SinTheta,dphi,deta,qOverP,IP3D_signed_d0_significance,"                    \
    "IP3D_signed_z0_significance,phiUncertainty,thetaUncertainty,qOverPUncertainty," \
    "numberOfPixelHits,numberOfSCTHits,numberOfInnermostPixelLayerHits,"             \
    "numberOfNextToInnermostPixelLayerHits,numberOfInnermostPixelLayerSharedHits,"   \
    "numberOfInnermostPixelLayerSplitHits,numberOfPixelSharedHits,"                  \
    "numberOfPixelSplitHits,numberOfSCTSharedHits"

const gn2_config_key gn2_config_table[] = {
    /* the network */
    {"model.name", GN2_TYPE_STR, "GN2", ANY,
     "name of the tagger, prefix of its scores"},
    {"model.classes", GN2_TYPE_STR_LIST, "bjets,cjets,ujets,taujets", ANY,
     "jet classes in the order of the outputs"},
    {"model.constituents", GN2_TYPE_STR_LIST, "tracks", ANY,
     "constituent types in the order of their tokens"},
    {"inputs.*", GN2_TYPE_STR_LIST, "", ANY,
     "variables of an object (jets, tracks, …) in the order of the inputs"},
    {"inputs.jets", GN2_TYPE_STR_LIST, "pt_btagJes,eta_btagJes", ANY,
     "jet variables (MeV)"},
    {"inputs.tracks", GN2_TYPE_STR_LIST, TRACK_INPUTS, ANY,
     "track variables (mm, rad, 1/MeV)"},
    {"model.init_hidden", GN2_TYPE_F64_LIST, "256", RANGE(1, 65536),
     "hidden sizes of the init nets; empty = one linear layer"},
    {"model.embed_dim", GN2_TYPE_I64, "256", RANGE(1, 65536),
     "width w of the transformer"},
    {"model.num_layers", GN2_TYPE_I64, "4", RANGE(0, 256), "transformer layers"},
    {"model.num_heads", GN2_TYPE_I64, "8", RANGE(1, 4096),
     "attention heads; must divide model.embed_dim"},
    {"model.ffn_hidden", GN2_TYPE_I64, "0", RANGE(0, 262144),
     "hidden size of the feed-forward; 0 = 2 w"},
    {"model.out_dim", GN2_TYPE_I64, "128", RANGE(1, 65536),
     "size of the tokens after the encoder"},
    {"model.num_registers", GN2_TYPE_I64, "1", RANGE(0, 1024),
     "learned tokens added to every jet"},
    {"model.encoder", GN2_TYPE_STR, "current", CHOICE("current|legacy"),
     "current: salt's Transformer; legacy: TransformerEncoder of GN2v01 (affine "
     "LayerNorm, q, k, v apart; use final_norm_pos pre, num_registers 0)"},
    {"model.final_norm_pos", GN2_TYPE_STR, "post", CHOICE("post|pre|none"),
     "final LayerNorm: after the out projection, before it, or none"},
    {"model.norm_eps", GN2_TYPE_F64, "1e-5", RANGE(0, 1),
     "epsilon of the LayerNorms (torch.nn.LayerNorm's default)"},
    {"model.init", GN2_TYPE_STR, "fan_in", CHOICE("fan_in|torch"),
     "random start: fan_in = N(0, 1/fan_in), biases 0; torch = torch's defaults as "
     "salt leaves them"},
    {"model.seed", GN2_TYPE_I64, "42", RANGE(0, 9007199254740992.0),
     "seed of the random start"},
    {"model.parametrization", GN2_TYPE_STR, "sp", CHOICE("sp|mup|mup_absolute"),
     "sp: standard; mup: maximal update relative to model.base_width; mup_absolute: "
     "base width 1"},
    {"model.base_width", GN2_TYPE_I64, "64", RANGE(1, 65536),
     "width at which mup equals sp"},
    {"model.base_heads", GN2_TYPE_I64, "0", RANGE(0, 4096),
     "mup: attention heads at model.base_width, which they must divide; 0 = "
     "model.num_heads, so that the heads grow in size; to grow their number at fixed "
     "size, give the base's"},
    {"model.zero_readout", GN2_TYPE_STR, "no", CHOICE("yes|no"),
     "mup and mup_absolute: start the read-out (encoder.out_proj.weight) at 0, and the "
     "biases of the heads at random as torch does, without which nothing would move; "
     "not with final_norm_pos post; sp ignores it"},
    {"model.zero_query", GN2_TYPE_STR, "no", CHOICE("yes|no"),
     "mup and mup_absolute: start the queries of the attention at 0; sp ignores it"},
    {"model.dropout_init", GN2_TYPE_F64, "0", RANGE(0, 0.99),
     "dropout before every linear layer of the init nets, in training"},
    {"model.dropout_ffn", GN2_TYPE_F64, "0", RANGE(0, 0.99),
     "dropout in the feed-forward blocks, in training"},
    {"model.dropout_heads", GN2_TYPE_F64, "0", RANGE(0, 0.99),
     "dropout before every linear layer of the heads, in training"},

    /* tasks */
    {"model.tasks", GN2_TYPE_STR_LIST,
     "jets_classification,track_origin,track_vertexing", ANY,
     "tasks the model has, any names; the first classification of the jets is into "
     "model.classes"},
    {"task.*.kind", GN2_TYPE_STR, "", ANY,
     "what the task is: classification, vertexing, regression, gaussian_regression"},
    {"task.*.object", GN2_TYPE_STR, "jets", ANY,
     "jets, or the constituent type the task belongs to"},
    {"task.*.hidden", GN2_TYPE_F64_LIST, "128,64,32", RANGE(1, 65536),
     "hidden sizes of the task's head"},
    {"task.*.weight", GN2_TYPE_F64, "1", SINGLE_UP, "weight of the task's loss"},
    {"task.*.label", GN2_TYPE_STR, "", ANY,
     "field with the label: class of a classification, vertex of a vertexing"},
    {"task.*.sample_weight", GN2_TYPE_STR, "", ANY,
     "field with the weight of each jet or constituent in the loss; empty = 1"},
    {"task.*.classes", GN2_TYPE_STR_LIST, "", ANY,
     "classification: names of the classes in the order of the labels"},
    {"task.*.class_weights", GN2_TYPE_F64_LIST, "", SINGLE_UP,
     "classification: weight of each class in the loss; empty = 1"},
    {"task.*.targets", GN2_TYPE_STR_LIST, "", ANY,
     "regressions: fields with the targets; NaN = none"},
    {"task.*.loss", GN2_TYPE_STR, "mse", CHOICE("mse|l1|huber"),
     "regression: loss of a scaled target, as torch's MSELoss, L1Loss, HuberLoss"},
    {"task.*.target_mean", GN2_TYPE_F64_LIST, "", SINGLE,
     "regressions: mean of each target, taken off before training and added to the "
     "output; empty = 0"},
    {"task.*.target_std", GN2_TYPE_F64_LIST, "", SINGLE_STD,
     "regressions: standard deviation of each target, which it is divided by and the "
     "output multiplied; empty = 1"},
    {"task.*.target_denominators", GN2_TYPE_STR_LIST, "", ANY,
     "regressions: inputs of the same object that the targets are divided by, instead "
     "of mean and standard deviation; a target whose denominator is 0 is ignored"},
    {"task.*.pair_weights", GN2_TYPE_STR, "salt", CHOICE("salt|symmetric|none"),
     "vertexing: weight of a pair from the origins of its constituents, numbered as "
     "ATLAS does: salt = 1 + (a & b) of signed integers (HF–HF 2, HF–fake 2, fake–fake "
     "0); symmetric: HF–HF 2, with a fake 0; none: 1"},
    {"task.*.origin_task", GN2_TYPE_STR, "track_origin", ANY,
     "vertexing: task whose labels give the origins, of the same constituents; pairs "
     "weigh 1 if model.tasks has none of this name"},
    {"task.jets_classification.kind", GN2_TYPE_STR, "classification", ANY,
     "kind of the task"},
    {"task.jets_classification.label", GN2_TYPE_STR, "flavour_label", ANY,
     "jet field with the class; flavour_label indexes the classes, "
     "HadronConeExclTruthLabelID is translated (5, 4, 0, 15)"},
    {"task.track_origin.kind", GN2_TYPE_STR, "classification", ANY, "kind of the task"},
    {"task.track_origin.weight", GN2_TYPE_F64, "0.5", SINGLE_UP,
     "weight of the origin loss"},
    {"task.track_origin.classes", GN2_TYPE_STR_LIST, ORIGINS, ANY,
     "names of the origins"},
    {"task.track_origin.object", GN2_TYPE_STR, "tracks", ANY,
     "constituent type the task belongs to"},
    {"task.track_origin.label", GN2_TYPE_STR, "ftagTruthOriginLabel", ANY,
     "constituent field with the origin"},
    {"task.track_vertexing.kind", GN2_TYPE_STR, "vertexing", ANY, "kind of the task"},
    {"task.track_vertexing.weight", GN2_TYPE_F64, "1.5", SINGLE_UP,
     "weight of the vertexing loss"},
    {"task.track_vertexing.object", GN2_TYPE_STR, "tracks", ANY,
     "constituent type the task belongs to"},
    {"task.track_vertexing.label", GN2_TYPE_STR, "ftagTruthVertexIndex", ANY,
     "constituent field with the vertex"},

    /* normalisation and input policy */
    {"norm.*.mean", GN2_TYPE_F64_LIST, "", SINGLE,
     "mean of each input of an object; empty = 0"},
    {"norm.*.std", GN2_TYPE_F64_LIST, "", SINGLE_STD,
     "standard deviation of each input of an object; empty = 1"},
    {"input.non_finite", GN2_TYPE_STR, "error", CHOICE("error|default"),
     "NaN or Inf in an input: error, or replace it by input.defaults"},
    {"input.defaults.*", GN2_TYPE_F64_LIST, "", SINGLE,
     "replacement for non-finite inputs of an object; empty = 0"},
    {"input.unit_check", GN2_TYPE_STR, "warn", CHOICE("warn|error|off"),
     "when the mean jet pt of a call is 1000 times off the stored mean"},

    /* discriminants: log(p_s / Σ f_k p_k), ujets or another gets what is left of 1 */
    {"discriminant.form", GN2_TYPE_STR, "log", CHOICE("log|ratio"),
     "log of the ratio, or the ratio"},
    {"discriminant.*.signal", GN2_TYPE_STR, "", ANY,
     "signal class of a discriminant, whose name is D_ and more: gives the output "
     "jets.D_… and a score of that name; D_b, D_c, D_tau are there without it where "
     "the model has bjets, cjets, taujets, and ujets or fractions that sum to 1"},
    {"discriminant.*.fractions", GN2_TYPE_STR_LIST, "", ANY,
     "weights of its other classes, class:fraction, at most 1 in all; class:rest, or "
     "ujets where it is not named, gets what is left of 1; empty = all to ujets, for "
     "D_b, D_c, D_tau the f_… below, which go without it; these two keys may also be "
     "set for a tagger"},
    {"discriminant.D_b.f_c", GN2_TYPE_F64, "0.2", RANGE(0, 1), "c fraction in D_b"},
    {"discriminant.D_b.f_tau", GN2_TYPE_F64, "0.01", RANGE(0, 1),
     "tau fraction in D_b"},
    {"discriminant.D_c.f_b", GN2_TYPE_F64, "0.3", RANGE(0, 1), "b fraction in D_c"},
    {"discriminant.D_c.f_tau", GN2_TYPE_F64, "0.01", RANGE(0, 1),
     "tau fraction in D_c"},
    {"discriminant.D_tau.f_b", GN2_TYPE_F64, "0.1", RANGE(0, 1), "b fraction in D_tau"},
    {"discriminant.D_tau.f_c", GN2_TYPE_F64, "0.1", RANGE(0, 1), "c fraction in D_tau"},

    /* training */
    {"train.epochs", GN2_TYPE_I64, "10", RANGE(1, 1000000), "passes over the data"},
    {"train.early_stopping", GN2_TYPE_I64, "0", RANGE(0, 1000000),
     "validations in turn without a smaller loss after which a run ends; 0 = it does "
     "not; the model of the smallest loss is best.gn2 of a run directory"},
    {"train.validate_steps", GN2_TYPE_I64, "0", RANGE(0, 1e15),
     "steps between validations inside an epoch, counted from the first of the "
     "training; 0 = at its end only; train.early_stopping counts them too"},
    {"train.threads", GN2_TYPE_I64, "0", RANGE(0, 4096),
     "threads; 0 = processors this process may use"},
    {"train.shards", GN2_TYPE_I64, "8", RANGE(0, 1024),
     "parts a batch is cut into; fixes the order of gradient sums, limits threads; 0 = "
     "the largest power of two up to 128 that leaves each 64 tokens of a mean batch "
     "(jets and constituents), found before the first step and kept"},
    {"train.chunk_tokens", GN2_TYPE_I64, "0", RANGE(0, 1048576),
     "tokens worked on at a time, which fixes the last bits of gradients; 0 = by "
     "width, 128 up to width 128 and 512 beyond"},
    {"train.precision", GN2_TYPE_STR, "f32", CHOICE("f32|bf16|auto"),
     "arithmetic of matrix products, as tagger.precision; weights, sums, losses and "
     "the optimiser stay f32"},
    {"train.seed", GN2_TYPE_I64, "42", RANGE(0, 9007199254740992.0),
     "seed of the dropout"},
    {"train.checkpoint", GN2_TYPE_STR, "", ANY, "file for checkpoints; empty = none"},
    {"train.checkpoint_steps", GN2_TYPE_I64, "0", RANGE(0, 1e15),
     "steps between checkpoints inside an epoch; 0 = at its end only"},
    {"train.probe_updates", GN2_TYPE_STR, "no", CHOICE("yes|no"),
     "keep the weights before each update, so that a probe tells its size; costs "
     "memory for one more copy of the weights"},
    {"optim.name", GN2_TYPE_STR, "adamw", CHOICE("adamw|sgd"), "optimiser"},
    {"optim.weight_decay", GN2_TYPE_F64, "1e-5", RANGE(0, 1),
     "weight decay λ: decoupled for adamw, in the gradient for sgd"},
    {"optim.decay_scaling", GN2_TYPE_STR, "inverse", CHOICE("inverse|none"),
     "weight decay of a tensor with a learning-rate multiplier: inverse = lr times "
     "decay is the same for all tensors (mup's default); none = decay as it is; like "
     "all multipliers fixed when the model is made"},
    {"optim.beta2", GN2_TYPE_F64, "0.999", RANGE(0, 0.9999999), "AdamW β2"},
    {"optim.eps", GN2_TYPE_F64, "1e-8", RANGE(0, 1), "AdamW ε"},
    {"optim.clip_norm", GN2_TYPE_F64, "0", SINGLE_UP,
     "largest L2 norm of the gradient; 0 = no clipping"},
    {"schedule.name", GN2_TYPE_STR, "onecycle",
     CHOICE("onecycle|cosine|constant|linear|wsd"),
     "onecycle (torch OneCycleLR, two cosine phases); cosine and linear: warm-up, "
     "then down to schedule.end; wsd: warm-up, stable, linear decay"},
    {"schedule.initial", GN2_TYPE_F64, "1e-7", RANGE(0, 1e3),
     "learning rate at the first step"},
    {"schedule.max", GN2_TYPE_F64, "5e-4", RANGE(0, 1e3), "largest learning rate"},
    {"schedule.end", GN2_TYPE_F64, "1e-5", RANGE(0, 1e3),
     "learning rate at the last step"},
    {"schedule.pct_start", GN2_TYPE_F64, "0.01", RANGE(0, 1),
     "share of the steps spent in the warm-up"},
    {"schedule.decay_share", GN2_TYPE_F64, "0.2", RANGE(0, 1),
     "wsd: share of the steps spent in the decay"},
    {"schedule.beta1_max", GN2_TYPE_F64, "0.95", RANGE(0, 0.9999999),
     "β1 (sgd: momentum) at the lowest learning rate of onecycle, and of all others"},
    {"schedule.beta1_min", GN2_TYPE_F64, "0.85", RANGE(0, 0.9999999),
     "β1 (sgd: momentum) at the largest learning rate of onecycle"},
    {"schedule.steps", GN2_TYPE_I64, "0", RANGE(0, 1e15),
     "steps of the whole run; 0 = epochs × batches of an epoch"},

    /* data */
    {"data.batch_size", GN2_TYPE_I64, "1000", RANGE(1, 100000000), "jets a batch"},
    {"data.max_jets", GN2_TYPE_I64, "-1", RANGE(-1, 1e15),
     "first jets of the files to use; -1 = all"},
    {"data.selection", GN2_TYPE_STR, "", ANY,
     "jets of the files to use, by comparing (<, <=, >, >=, ==, !=) numeric fields "
     "with numbers: pt_btagJes > 20000 and abs(eta_btagJes) < 2.5; and (&&) binds "
     "before or; no jet with NaN in a field of it is used; of validation jets too; "
     "data.max_jets counts what is left; empty = all"},
    {"data.sampling", GN2_TYPE_STR, "jets", CHOICE("jets|batches|sequential"),
     "order: jets = blocks and jets shuffled; batches = salt's, contiguous batches in "
     "random order; sequential = file order, last batch may be short"},
    {"data.block_size", GN2_TYPE_I64, "10000", RANGE(1, 100000000),
     "jets read at once when sampling jets"},
    {"data.blocks_mixed", GN2_TYPE_I64, "4", RANGE(1, 1000),
     "blocks among which jets are shuffled"},
    {"data.seed", GN2_TYPE_I64, "42", RANGE(0, 9007199254740992.0),
     "seed of the order"},
    {"data.prefetch", GN2_TYPE_I64, "4", RANGE(0, 1000),
     "batches read ahead by a thread of its own; 0 = no thread"},
    {"data.read_threads", GN2_TYPE_I64, "0", RANGE(0, 4096),
     "threads that unpack and convert what is read of files, that of data.prefetch "
     "among them; 0 = one for every 8 that a trainer has for its training or "
     "evaluation, else 1"},
    {"data.norm_dict", GN2_TYPE_STR, "", ANY,
     "salt's norm_dict.yaml; empty = computed from the data; norm.* that are set stay"},
    {"data.class_dict", GN2_TYPE_STR, "", ANY,
     "salt's class_dict.yaml; empty = computed from the data; task.*.class_weights "
     "that are set stay"},
    {"data.class_weights", GN2_TYPE_STR, "yes", CHOICE("yes|no"),
     "whether gn2_dataset_setup() fills the class weights of the losses"},
    {"data.dataset.*", GN2_TYPE_STR, "", ANY,
     "HDF5 dataset of an object; empty = the object's name"},
    {"data.unwritten", GN2_TYPE_STR, "error", CHOICE("error|keep"),
     "rows of a file that no writer has filled (chunks never made, gaps of a virtual "
     "dataset, a jet of nothing but fill values): error, or keep = as HDF5 gives them"},
    {"data.norm_jets", GN2_TYPE_I64, "-1", RANGE(-1, 1e15),
     "jets used to compute normalisation and class weights; -1 = all"},

    /* running */
    {"group.timeout", GN2_TYPE_F64, "0", RANGE(0, 1e9),
     "seconds that a rank waits for another one before it ends the job; 0 = as the "
     "group was made with, 600 for MPI"},
    {"compute.isa", GN2_TYPE_STR, "best", CHOICE("best|avx512|avx2|reference"),
     "highest instruction set to use; results are the same bits only on one"},
    {"compute.gemm", GN2_TYPE_STR, "auto", CHOICE("auto|own|onednn"),
     "who multiplies matrices; auto = own kernels where the processor has AVX2, else "
     "oneDNN if its module can be loaded, else the reference"},
    {"tagger.threads", GN2_TYPE_I64, "1", RANGE(0, 4096),
     "threads of a tagger; 0 = processors this process may use"},
    {"tagger.weights", GN2_TYPE_STR, "f32", CHOICE("f32|bf16"),
     "how weights are kept: bf16 = rounded to 8 significant bits, half the memory to "
     "read, arithmetic in f32"},
    {"tagger.precision", GN2_TYPE_STR, "f32", CHOICE("f32|bf16|auto"),
     "arithmetic of matrix products: bf16 = factors rounded to 8 significant bits, "
     "sums in f32; auto = bf16 on a model of processor that was measured to gain by it "
     "at this width, else f32"},
    {"tagger.chunk_tokens", GN2_TYPE_I64, "128", RANGE(16, 1048576),
     "tokens worked on at a time"},
    {"scores.jet_fields", GN2_TYPE_STR_LIST, "*", ANY,
     "input fields copied to /jets of the score file; * = all of fixed size (numbers, "
     "texts, arrays; what has any length is left out and logged)"},
    {"scores.track_fields", GN2_TYPE_STR_LIST, "", ANY,
     "input fields copied to the constituents (/tracks, …) of the score file; * = all "
     "of fixed size"},
    {"scores.write_tracks", GN2_TYPE_STR, "no", CHOICE("yes|no"),
     "whether constituents that the model has scores of (/tracks, …) are written"},
    {"scores.outputs", GN2_TYPE_STR_LIST, "", ANY,
     "further outputs of the tagger that are written, by name (jets.embedding, "
     "tracks.D_b_gradient, …); those of constituents without scores.write_tracks too"},
    {"scores.models", GN2_TYPE_STR_LIST, "", ANY,
     "models of an ensemble, as the attribute 'ensemble' of the score file names them; "
     "filled by gn2 tag --model and gn2.Ensemble"},
    {"scores.half_precision", GN2_TYPE_STR, "no", CHOICE("yes|no"),
     "write real fields as 16-bit floats, but those of the input that would become "
     "infinite, what regressions find and scores.outputs names, as 32-bit ones"},

    /* where a model comes from, filled by the library */
    {"provenance.*", GN2_TYPE_STR, "", ANY,
     "origin of a model: library, data, jets, given, seed, steps, created; given: keys "
     "that were set before the data was asked for them"},
};

const size_t gn2_config_table_size =
    sizeof gn2_config_table / sizeof gn2_config_table[0];
