/* SPDX-License-Identifier: Apache-2.0 */
/* Trains GN2 on HDF5 files and writes the model. */
#define _DEFAULT_SOURCE /* SA_RESTART */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common.h"

static const char help[] =
    "usage: train [OPTION]... TRAIN.h5... [KEY=VALUE]...\n"
    "\n"
    "Trains GN2 on the jets of the files (datasets /jets and /tracks as ATLAS's "
    "dumper\n"
    "and UPP write them). Fields are found by name; classes are read from the "
    "attribute\n"
    "of flavour_label; normalisation and class weights are computed from the jets\n"
    "unless they are set (norm.*, task.*.class_weights) or data.norm_dict and\n"
    "data.class_dict name salt's YAML files.\n"
    "\n"
    "  -v, --val FILE         evaluate on these jets after every epoch\n"
    "  -o, --output FILE      where the model goes (default model.gn2)\n"
    "  -c, --config FILE      read `key = value` lines\n"
    "  -e, --epochs N         passes over the jets (train.epochs)\n"
    "  -j, --threads N        threads (train.threads; 0: the processors there are)\n"
    "  -k, --checkpoint FILE  write a checkpoint after every epoch and when stopped\n"
    "                         (train.checkpoint; default: OUTPUT.ckpt when stopped)\n"
    "  -r, --resume FILE      go on from a checkpoint of the same run\n"
    "  -q, --quiet            no progress line\n"
    "      --keys             list the keys and leave\n"
    "  -h, --help             this text\n"
    "      --version          version of the library\n"
    "\n"
    "KEY=VALUE sets an option of the library and wins over --config, e.g.\n"
    "model.embed_dim=64 schedule.max=1e-3 data.batch_size=500. The network by default\n"
    "is ATLAS's: width 256, 4 layers, 8 heads; trained with AdamW and OneCycle.\n"
    "\n"
    "Progress goes to stderr, the table of validation results to stdout. Ctrl-C stops\n"
    "after the step under way and leaves a checkpoint to go on from, to the bit.\n"
    "\n"
    "Exit status: 0 trained, 1 failed (message on stderr), 2 wrong command line,\n"
    "130 stopped.\n";

typedef struct train_program {
    const char **train_paths; /* into argv */
    size_t train_count;
    const char *val_path, *output, *checkpoint, *resume;
    int quiet, terminal;
    gn2_config *config;
    gn2_dataset *train, *val;
    gn2_model *model;
    gn2_trainer *trainer;
    double shown; /* seconds when the progress was last shown */
    int64_t jets; /* in the steps of this run */
    gn2_metrics last;
} train_program;

/* ---- command line ---- */

static const struct option options[] = {
    {"val", required_argument, NULL, 'v'},
    {"output", required_argument, NULL, 'o'},
    {"config", required_argument, NULL, 'c'},
    {"epochs", required_argument, NULL, 'e'},
    {"threads", required_argument, NULL, 'j'},
    {"checkpoint", required_argument, NULL, 'k'},
    {"resume", required_argument, NULL, 'r'},
    {"quiet", no_argument, NULL, 'q'},
    {"keys", no_argument, NULL, OPT_KEYS},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, OPT_VERSION},
    {NULL, 0, NULL, 0},
};

/* −1: go on; else the exit status. */
static int set_number(train_program *t, const char *key, int64_t least)
{
    int64_t value;
    if (!read_number(optarg, least, &value)) return usage_error(key, optarg);
    const gn2_status status = gn2_config_set_i64(t->config, key, value);
    return status ? library_error(status) : -1;
}

static int read_option(train_program *t, int option)
{
    gn2_status status = GN2_OK;
    switch (option) {
    case 'v':
        t->val_path = optarg;
        break;
    case 'o':
        t->output = optarg;
        break;
    case 'r':
        t->resume = optarg;
        break;
    case 'q':
        t->quiet = 1;
        break;
    case 'c':
        status = gn2_config_load(t->config, optarg);
        break;
    case 'k':
        status = gn2_config_set_str(t->config, "train.checkpoint", optarg);
        break;
    case 'e':
        return set_number(t, "train.epochs", 1);
    case 'j':
        return set_number(t, "train.threads", 0);
    case '?':
        return usage_error("unknown or incomplete option", NULL);
    default:
        return show_text(option, help);
    }
    return status ? library_error(status) : -1;
}

static int read_operand(train_program *t, const char *word)
{
    if (!is_setting(word)) {
        t->train_paths[t->train_count++] = word;
        return -1;
    }
    const gn2_status status = apply_setting(t->config, word);
    return status ? library_error(status) : -1;
}

static int read_command_line(train_program *t, int argc, char **argv)
{
    int end = -1, option;
    while (end < 0 &&
           (option = getopt_long(argc, argv, "v:o:c:e:j:k:r:qh", options, NULL)) != -1)
        end = read_option(t, option);
    for (int i = optind; end < 0 && i < argc; i++) end = read_operand(t, argv[i]);
    if (end < 0 && t->train_count == 0)
        return usage_error("no file of jets to train on", NULL);
    return end;
}

/* ---- progress ---- */

/* Name of task i, as the table of validation results has it. */
static const char *task_name(const train_program *t, size_t i)
{
    gn2_task_info info = {.struct_size = sizeof info};
    return gn2_model_task_info(t->model, i, &info) ? "?" : info.name;
}

static void print_step(const train_program *t, const gn2_progress *p)
{
    const gn2_step_stats *s = p->stats;
    fprintf(stderr, "%sepoch %lld/%lld  step %lld/%lld  loss %.4f (",
            t->terminal ? "\r" : "", (long long)p->epoch + 1, (long long)p->epochs,
            (long long)p->step, (long long)p->steps, s->loss);
    for (int32_t i = 0; i < s->task_count; i++)
        fprintf(stderr, "%s%s %.4f", i ? ", " : "", task_name(t, (size_t)i),
                s->task_losses[i]);
    fprintf(stderr, ")  lr %.2e  %.0f jets/s%s", s->learning_rate,
            (double)t->jets / p->seconds, t->terminal ? "\033[K" : "\n");
}

/* Often on a terminal, seldom in a log. */
static void show_step(train_program *t, const gn2_progress *p)
{
    const double pause = t->terminal ? 0.1 : 5;
    t->jets += p->stats->jets;
    if (t->quiet || (p->step < p->steps && p->seconds < t->shown + pause)) return;
    t->shown = p->seconds;
    print_step(t, p);
}

static void print_head(const train_program *t, const gn2_metrics *m)
{
    printf("epoch     loss");
    for (int32_t i = 0; i < m->task_count; i++)
        printf(" %19s", task_name(t, (size_t)i));
    printf("  AUC b-l  AUC b-c rej. l@77 rej. c@77\n");
}

static void show_epoch(train_program *t, const gn2_progress *p)
{
    const gn2_metrics *m = p->validation;
    if (t->terminal && !t->quiet) fprintf(stderr, "\r\033[K");
    if (!m) return;
    if (t->last.jets == 0) print_head(t, m);
    t->last = *m;
    printf("%5lld %8.4f", (long long)p->epoch + 1, m->loss);
    for (int32_t i = 0; i < m->task_count; i++) printf(" %19.4f", m->task_losses[i]);
    printf(" %8.4f %8.4f %9.4g %9.4g\n", m->auc_b_light, m->auc_b_c, m->rejection[2][0],
           m->rejection[2][1]);
    fflush(stdout);
}

static int32_t progress(void *user, const gn2_progress *p)
{
    train_program *t = user;
    if (p->event == GN2_EVENT_STEP) show_step(t, p);
    if (p->event == GN2_EVENT_EPOCH) show_epoch(t, p);
    return 0;
}

static void print_rejections(const gn2_metrics *m)
{
    static const int points[GN2_WORKING_POINTS] = {65, 70, 77, 85};
    if (m->jets == 0) return;
    printf("b-efficiency  cut on D_b     light         c       tau  rejection\n");
    for (int i = 0; i < GN2_WORKING_POINTS; i++)
        printf("        %d %%  %10.3f  %8.4g  %8.4g  %8.4g\n", points[i], m->cut[i],
               m->rejection[i][0], m->rejection[i][1], m->rejection[i][2]);
}

/* ---- Ctrl-C ---- */

static gn2_trainer *stoppable;

static void stop(int signal_number)
{
    (void)signal_number;
    gn2_trainer_request_stop(stoppable);
}

/* A second Ctrl-C ends the program at once. */
static void listen(gn2_trainer *trainer)
{
    struct sigaction action = {.sa_handler = stop,
                               .sa_flags = (int)(SA_RESTART | SA_RESETHAND)};
    stoppable = trainer;
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

/* ---- training ---- */

static gn2_status open_val(train_program *t)
{
    if (!t->val_path) return GN2_OK;
    TRY(gn2_config_set_str(t->config, "data.sampling", "sequential"));
    TRY(gn2_config_set_i64(t->config, "data.max_jets", -1));
    return gn2_dataset_open(&t->val_path, 1, t->config, &t->val);
}

static gn2_status describe_data(const train_program *t)
{
    gn2_dataset_info info = {.struct_size = sizeof info};
    size_t weights = 0;
    TRY(gn2_dataset_info_get(t->train, &info));
    for (size_t i = 0; i < gn2_model_param_count(t->model); i++) {
        gn2_param_info param = {.struct_size = sizeof param};
        TRY(gn2_model_param_info(t->model, i, &param));
        weights += (size_t)param.count;
    }
    if (!t->quiet)
        fprintf(stderr, "%lld jets, %lld batches of %lld; %zu weights\n",
                (long long)info.jet_count, (long long)info.batch_count,
                (long long)info.batch_size, weights);
    return GN2_OK;
}

static gn2_status prepare(train_program *t)
{
    TRY(gn2_dataset_open(t->train_paths, t->train_count, t->config, &t->train));
    TRY(gn2_dataset_setup(t->train, t->config));
    TRY(gn2_model_create(t->config, &t->model));
    TRY(describe_data(t));
    TRY(gn2_trainer_create(t->model, t->config, &t->trainer));
    if (t->resume) TRY(gn2_trainer_checkpoint_load(t->trainer, t->resume));
    return open_val(t);
}

static gn2_status save_model(const train_program *t)
{
    gn2_model *trained = NULL;
    TRY(gn2_trainer_snapshot(t->trainer, &trained));
    const gn2_status status = gn2_model_save(trained, t->output);
    gn2_model_free(trained);
    return status;
}

/* The library has written train.checkpoint already, if there is one. */
static gn2_status save_checkpoint(const train_program *t)
{
    const char *path = NULL;
    char own[4096];
    TRY(gn2_config_get_str(t->config, "train.checkpoint", &path));
    if (!*path) {
        snprintf(own, sizeof own, "%s.ckpt", t->output);
        TRY(gn2_trainer_checkpoint_save(t->trainer, path = own));
    }
    fprintf(stderr, "train: stopped; the same command with --resume %s goes on\n",
            path);
    return GN2_OK;
}

static int run(train_program *t)
{
    gn2_status status = prepare(t);
    if (status) return library_error(status);
    listen(t->trainer);
    status = gn2_trainer_fit(t->trainer, t->train, t->val, progress, t);
    if (t->terminal && !t->quiet) fprintf(stderr, "\r\033[K");
    if (status == GN2_ERR_CANCELLED) {
        status = save_checkpoint(t);
        return status ? library_error(status) : EXIT_STOPPED;
    }
    if (!status) status = save_model(t);
    if (status) return library_error(status);
    print_rejections(&t->last);
    printf("model: %s\n", t->output);
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    train_program t = {.output = "model.gn2", .terminal = isatty(STDERR_FILENO)};
    program_name = "train";
    t.train_paths = calloc((size_t)argc, sizeof *t.train_paths);
    const gn2_status status = gn2_config_create(&t.config);
    int end = !t.train_paths ? EXIT_FAILED
              : status       ? library_error(status)
                             : read_command_line(&t, argc, argv);
    if (end < 0) end = run(&t);
    gn2_trainer_free(t.trainer);
    gn2_dataset_free(t.val);
    gn2_dataset_free(t.train);
    gn2_model_free(t.model);
    gn2_config_free(t.config);
    free(t.train_paths);
    return end;
}
