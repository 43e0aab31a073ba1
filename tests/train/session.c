/* SPDX-License-Identifier: Apache-2.0 */
#include "session.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define JETS 100

static const char *const options[] = {"model.dropout_ffn=0.1",
                                      "train.epochs=4",
                                      "data.batch_size=10",
                                      "schedule.steps=0",
                                      "optim.clip_norm=1",
                                      "data.prefetch=0",
                                      NULL};

session open_session(void)
{
    session s = {.config = toy_config(options), .data = toy_create(JETS, 21)};
    s.trainer = toy_trainer(s.config);
    assert_ok(
        gn2_dataset_arrays_impl(&s.data->jets, &s.data->labels, s.config, &s.dataset));
    return s;
}

void close_session(session *s)
{
    gn2_dataset_free_impl(s->dataset);
    gn2_train_delete(s->trainer);
    gn2_config_delete(s->config);
    toy_free(s->data);
}

gn2_status fit(session *s, gn2_progress_fn fn, void *user)
{
    return gn2_train_fit(s->trainer, s->dataset, NULL, fn, user);
}

session whole_run(void)
{
    session s = open_session();
    assert_ok(fit(&s, NULL, NULL));
    assert_int_equal(gn2_train_steps(s.trainer), 40);
    return s;
}

void assert_same_state(const gn2_trainer *a, const gn2_trainer *b)
{
    const size_t bytes = (size_t)a->params->total * sizeof(float);
    assert_same_weights(a, b);
    assert_memory_equal(a->engine->optimizer.moment[0], b->engine->optimizer.moment[0],
                        bytes);
    assert_memory_equal(a->engine->optimizer.moment[1], b->engine->optimizer.moment[1],
                        bytes);
    assert_int_equal(gn2_train_steps(a), gn2_train_steps(b));
    assert_int_equal(a->schedule.steps, b->schedule.steps);
    assert_int_equal(a->epoch, b->epoch);
    assert_int_equal(a->batch, b->batch);
}

/* ---- files ---- */

static char folder[] = "/tmp/gn2_session_XXXXXX";
char path[64], other[64];

int make_files(void **state)
{
    (void)state;
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/a.gn2", folder);
    snprintf(other, sizeof other, "%s/b.gn2", folder);
    return 0;
}

int remove_files(void **state)
{
    (void)state;
    unlink(path);
    unlink(other);
    return rmdir(folder);
}
