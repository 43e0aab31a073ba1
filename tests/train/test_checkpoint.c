/* SPDX-License-Identifier: Apache-2.0 */
/* A run that is interrupted and goes on is the run that was not, to the bit; a file
 * that does not fit leaves the trainer alone. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/model_file.h"
#include "session.h"
#include "util/alloc.h"
#include "util/file.h"

/* Saves at a step and stops, as a user's callback may. */
typedef struct stopper {
    gn2_trainer *trainer;
    int64_t at;
} stopper;

static int32_t save_and_stop(void *user, const gn2_progress *progress)
{
    const stopper *s = user;
    if (progress->step != s->at) return 0;
    assert_ok(gn2_train_save(s->trainer, path));
    return 1;
}

static void check_interruption_at(int64_t step)
{
    session whole = whole_run(), first = open_session(), second = open_session();
    stopper s = {first.trainer, step};
    assert_status(GN2_ERR_CANCELLED, fit(&first, save_and_stop, &s));
    assert_int_equal(gn2_train_steps(first.trainer), step);
    assert_ok(gn2_train_load(second.trainer, path));
    assert_same_state(first.trainer, second.trainer);
    assert_ok(fit(&second, NULL, NULL));
    assert_same_state(whole.trainer, second.trainer);
    assert_ok(fit(&first, NULL, NULL)); /* in memory it goes on as well */
    assert_same_state(whole.trainer, first.trainer);
    close_session(&whole);
    close_session(&first);
    close_session(&second);
}

static void a_run_goes_on_to_the_bit(void **state)
{
    (void)state;
    check_interruption_at(1);
    check_interruption_at(20); /* between epochs */
    check_interruption_at(27); /* inside one */
}

/* ---- killed ---- */

static int32_t die_at_step(void *user, const gn2_progress *progress)
{
    if (progress->step == *(const int64_t *)user) kill(getpid(), SIGKILL);
    return 0;
}

/* The child keeps checkpoints every 8 steps and is killed at step 21. */
static void run_and_die(void)
{
    int64_t at = 21;
    session s = open_session();
    if (gn2_config_put_str(s.trainer->config, "train.checkpoint", path) ||
        gn2_config_put_i64(s.trainer->config, "train.checkpoint_steps", 8))
        _exit(1);
    fit(&s, die_at_step, &at);
    _exit(2);
}

static void a_killed_run_goes_on_to_the_bit(void **state)
{
    int how = 0;
    (void)state;
    unlink(path);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) run_and_die();
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(WIFSIGNALED(how) && WTERMSIG(how) == SIGKILL);
    session whole = whole_run(), again = open_session();
    assert_ok(gn2_train_load(again.trainer, path));
    assert_int_equal(gn2_train_steps(again.trainer), 20); /* end of epoch 2 */
    assert_ok(fit(&again, NULL, NULL));
    assert_same_state(whole.trainer, again.trainer);
    close_session(&whole);
    close_session(&again);
}

/* ---- stopped on request ---- */

static int32_t ask_to_stop(void *user, const gn2_progress *progress)
{
    gn2_trainer *t = user;
    if (progress->step == 13) atomic_store(&t->stop, 1);
    return 0;
}

static void a_stop_request_leaves_a_checkpoint(void **state)
{
    session whole = whole_run(), first = open_session(), second = open_session();
    (void)state;
    unlink(path);
    assert_ok(gn2_config_put_str(first.trainer->config, "train.checkpoint", path));
    assert_status(GN2_ERR_CANCELLED, fit(&first, ask_to_stop, first.trainer));
    assert_int_equal(gn2_train_steps(first.trainer), 13);
    assert_ok(gn2_train_load(second.trainer, path));
    assert_same_state(first.trainer, second.trainer);
    assert_ok(fit(&second, NULL, NULL));
    assert_same_state(whole.trainer, second.trainer);
    close_session(&whole);
    close_session(&first);
    close_session(&second);
}

/* ---- what fixes the bits is in the file ---- */

static const struct {
    const char *key;
    int64_t value;
} of_the_bits[] = {{"train.shards", 3}, {"train.seed", 99}, {"train.chunk_tokens", 31}};
#define BITS (sizeof of_the_bits / sizeof of_the_bits[0])

/* A trainer of these of the keys above, by bit; the config keeps them. */
static void remake(session *s, unsigned which)
{
    gn2_train_delete(s->trainer);
    for (size_t i = 0; i < BITS; i++)
        if (which >> i & 1)
            assert_ok(gn2_config_put_i64(s->config, of_the_bits[i].key,
                                         of_the_bits[i].value));
    s->trainer = toy_trainer(s->config);
}

static void shards_and_seed_are_the_checkpoints(void **state)
{
    session whole = open_session(), first = open_session(), second = open_session();
    (void)state;
    remake(&whole, ~0u);
    assert_ok(fit(&whole, NULL, NULL));
    remake(&first, ~0u);
    stopper s = {first.trainer, 15};
    assert_status(GN2_ERR_CANCELLED, fit(&first, save_and_stop, &s));
    assert_ok(gn2_config_put_i64(second.config, "train.threads", 3));
    assert_ok(gn2_config_put_i64(second.config, "train.chunk_tokens", 0));
    remake(&second, 0); /* all three of the table's defaults */
    assert_ok(gn2_train_load(second.trainer, path));
    assert_ok(fit(&second, NULL, NULL));
    assert_same_state(whole.trainer, second.trainer);
    close_session(&whole);
    close_session(&first);
    close_session(&second);
}

/* Asked for otherwise than the run began, they are not silently the run's. */
static void other_shards_or_seeds_are_refused(void **state)
{
    session first = open_session();
    stopper s = {first.trainer, 15};
    (void)state;
    assert_status(GN2_ERR_CANCELLED, fit(&first, save_and_stop, &s));
    for (size_t i = 0; i < BITS; i++) {
        session second = open_session();
        remake(&second, 1u << i);
        assert_status(GN2_ERR_INVALID_ARG, gn2_train_load(second.trainer, path));
        assert_message(of_the_bits[i].key);
        close_session(&second);
    }
    close_session(&first);
}

static void a_checkpoint_is_a_model_file(void **state)
{
    session s = whole_run();
    gn2_model *model = NULL;
    (void)state;
    assert_ok(gn2_train_save(s.trainer, path));
    assert_ok(gn2_model_file_load(path, &model));
    assert_memory_equal(model->weights, s.trainer->engine->weights,
                        (size_t)s.trainer->params->total * sizeof(float));
    gn2_model_unref(model);
    close_session(&s);
}

/* ---- files of older libraries: `trainer.sgd` in place of the name ---- */

/* Moments of the trainer are those of the file, by name. */
static void check_moments(const gn2_trainer *t, const char *file)
{
    const gn2_optimizer_f32 *o = &t->engine->optimizer;
    gn2_container *c = NULL;
    float *stored = gn2_alloc((size_t)t->params->total, sizeof *stored);
    assert_ok(gn2_container_open_file(file, &c));
    for (size_t i = 0; i < t->params->count; i++)
        for (int k = 0; o->kind->moment[k]; k++) {
            const gn2_tensor *tensor = &t->params->tensor[i];
            const size_t bytes = (size_t)tensor->count * sizeof *stored;
            char name[160];
            size_t index;
            snprintf(name, sizeof name, "trainer.%s.%s", o->kind->moment[k],
                     tensor->name);
            assert_ok(gn2_container_find(c, name, &index));
            assert_ok(gn2_container_read(c, index, stored, bytes));
            assert_memory_equal(stored, o->moment[k] + tensor->offset, bytes);
        }
    gn2_container_close(c);
    gn2_free(stored);
}

/* Made by such a library after three steps. */
static void check_old(const char *file, const char *own, const char *foreign)
{
    gn2_trainer *t =
        toy_trainer_of(OPTIONS("model.embed_dim=8", "model.num_layers=1", own));
    gn2_trainer *wrong =
        toy_trainer_of(OPTIONS("model.embed_dim=8", "model.num_layers=1", foreign));
    toy *data = toy_create(20, 21);
    char name[32];
    snprintf(name, sizeof name, "optim.name = %s,", strchr(own, '=') + 1);
    assert_ok(gn2_train_load(t, file));
    assert_int_equal(gn2_train_steps(t), 3);
    check_moments(t, file);
    assert_ok(gn2_train_step(t, &data->jets, &data->labels, NULL));
    assert_ok(gn2_train_save(t, path));
    assert_status(GN2_ERR_INVALID_ARG, gn2_train_load(wrong, file));
    assert_message(name);
    assert_status(GN2_ERR_INVALID_ARG, gn2_train_load(wrong, path));
    assert_message(name);
    gn2_train_delete(t);
    gn2_train_delete(wrong);
    toy_free(data);
}

static void checkpoints_of_older_libraries_load(void **state)
{
    (void)state;
    check_old(TEST_FILES "/checkpoint_adamw.gn2", "optim.name=adamw", "optim.name=sgd");
    check_old(TEST_FILES "/checkpoint_sgd.gn2", "optim.name=sgd", "optim.name=adamw");
}

/* ---- what does not fit ---- */

static void refuse(gn2_trainer *t, gn2_status status, const char *word)
{
    const size_t bytes = (size_t)t->params->total * sizeof(float);
    float *before = gn2_alloc(bytes, 1);
    const gn2_engine_f32 *engine = t->engine;
    const int64_t steps = gn2_train_steps(t);
    memcpy(before, t->engine->weights, bytes);
    assert_status(status, gn2_train_load(t, path));
    assert_message(word);
    assert_ptr_equal(engine, t->engine);
    assert_memory_equal(before, t->engine->weights, bytes);
    assert_int_equal(steps, gn2_train_steps(t));
    gn2_free(before);
}

static void refuse_by(const char *const *theirs, gn2_status status, const char *word)
{
    gn2_trainer *writer = toy_trainer_of(theirs), *t = toy_trainer_of(NULL);
    assert_ok(gn2_train_save(writer, path));
    refuse(t, status, word);
    gn2_train_delete(writer);
    gn2_train_delete(t);
}

static void other_architectures_are_refused_by_name(void **state)
{
    (void)state;
    refuse_by(OPTIONS("model.embed_dim=16"), GN2_ERR_SHAPE, "init_nets.0.net.net.2");
    refuse_by(OPTIONS("model.num_layers=1"), GN2_ERR_SHAPE, "encoder.");
    refuse_by(OPTIONS("model.num_heads=2"), GN2_ERR_SHAPE, "model.num_heads");
    refuse_by(OPTIONS("norm.jets.mean=1,2"), GN2_ERR_SHAPE, "norm.jets.mean");
    refuse_by(OPTIONS("optim.name=sgd"), GN2_ERR_INVALID_ARG, "optim.name");
}

static void models_and_foreign_files_are_refused(void **state)
{
    gn2_trainer *t = toy_trainer_of(NULL);
    (void)state;
    assert_ok(gn2_model_file_save(t->model, path));
    refuse(t, GN2_ERR_FORMAT, "not a checkpoint");
    assert_ok(gn2_file_write_atomic(path, "nonsense", 8));
    refuse(t, GN2_ERR_FORMAT, path);
    gn2_train_delete(t);
}

/* Every cut of the file and flips all over it. */
static void damaged_files_are_refused(void **state)
{
    gn2_trainer *t = toy_trainer_of(NULL);
    unsigned char *bytes = NULL;
    size_t size = 0;
    (void)state;
    assert_ok(gn2_train_save(t, other));
    assert_ok(gn2_file_read(other, (size_t)1 << 30, &bytes, &size));
    for (size_t i = 0; i < 40; i++) {
        const size_t at = i * (size - 1) / 39;
        assert_ok(gn2_file_write_atomic(path, bytes, at));
        refuse(t, GN2_ERR_FORMAT, "");
        bytes[at] ^= 0x10;
        assert_ok(gn2_file_write_atomic(path, bytes, size));
        assert_int_not_equal(GN2_OK, gn2_train_load(t, path));
        bytes[at] ^= 0x10;
    }
    assert_ok(gn2_file_write_atomic(path, bytes, size));
    assert_ok(gn2_train_load(t, path));
    gn2_free(bytes);
    gn2_train_delete(t);
}

static void a_missing_file_is_reported(void **state)
{
    gn2_trainer *t = toy_trainer_of(NULL);
    (void)state;
    unlink(path);
    assert_int_not_equal(GN2_OK, gn2_train_load(t, path));
    assert_message(path);
    assert_int_not_equal(GN2_OK, gn2_train_save(t, "/nowhere/at/all.gn2"));
    assert_message("/nowhere/at/all.gn2");
    gn2_train_delete(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_goes_on_to_the_bit),
        cmocka_unit_test(a_killed_run_goes_on_to_the_bit),
        cmocka_unit_test(a_stop_request_leaves_a_checkpoint),
        cmocka_unit_test(shards_and_seed_are_the_checkpoints),
        cmocka_unit_test(other_shards_or_seeds_are_refused),
        cmocka_unit_test(a_checkpoint_is_a_model_file),
        cmocka_unit_test(checkpoints_of_older_libraries_load),
        cmocka_unit_test(other_architectures_are_refused_by_name),
        cmocka_unit_test(models_and_foreign_files_are_refused),
        cmocka_unit_test(damaged_files_are_refused),
        cmocka_unit_test(a_missing_file_is_reported),
    };
    return cmocka_run_group_tests(tests, make_files, remove_files);
}
