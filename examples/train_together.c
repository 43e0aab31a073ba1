/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two processes train one model, over a socket: an example of a transport, not one for
 * use between machines. Both print the same loss, which is that of one process.
 */
#include <errno.h>
#include <fcntl.h>
#include <gn2/gn2.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- the transport: a socket to the only peer there is ---- */

#define PATIENCE 60000 /* ms */

/* One read or write; how far it came, -1: the peer is gone. */
static ssize_t move(int fd, short events, char *bytes, size_t left)
{
    const ssize_t n =
        events & POLLOUT ? send(fd, bytes, left, MSG_NOSIGNAL) : read(fd, bytes, left);
    if (n > 0) return n;
    return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
}

/* Writes and reads as the socket allows: each side may send more than it can hold. */
static gn2_status exchange(void *user, int32_t peer, const void *send, size_t send_size,
                           void *receive, size_t receive_size)
{
    char *out = (char *)(uintptr_t)send, *in = receive;
    (void)peer;
    while (send_size || receive_size) {
        struct pollfd p = {.fd = *(int *)user};
        p.events = (short)((send_size ? POLLOUT : 0) | (receive_size ? POLLIN : 0));
        if (poll(&p, 1, PATIENCE) <= 0) return GN2_ERR_IO;
        const int can_read = receive_size && (p.revents & (POLLIN | POLLHUP));
        const int can_write = send_size && (p.revents & POLLOUT);
        if (!can_read && !can_write) return GN2_ERR_IO;
        const ssize_t came = can_read ? move(p.fd, POLLIN, in, receive_size) : 0;
        const ssize_t went = can_write ? move(p.fd, POLLOUT, out, send_size) : 0;
        if (came < 0 || went < 0) return GN2_ERR_IO;
        if (came) in += came; /* either may be NULL, with no bytes */
        if (went) out += went;
        receive_size -= (size_t)came;
        send_size -= (size_t)went;
    }
    return GN2_OK;
}

/* The peer's next exchange fails. */
static void end_other(void *user, const char *why)
{
    fprintf(stderr, "train_together: %s\n", why);
    shutdown(*(int *)user, SHUT_RDWR);
}

/* ---- the training ---- */

#define JETS 64

static void check(gn2_status status)
{
    if (status == GN2_OK) return;
    fprintf(stderr, "train_together: %s\n", gn2_last_error());
    exit(1);
}

static gn2_trainer *make_trainer(void)
{
    static const char *const settings[][2] = {
        {"model.embed_dim", "32"},     {"model.num_layers", "1"},
        {"model.num_heads", "4"},      {"model.tasks", "jets_classification"},
        {"model.dropout_ffn", "0.1"},  {"norm.jets.mean", "0,0"},
        {"norm.jets.std", "1,1"},      {"schedule.steps", "20"},
        {"schedule.pct_start", "0.1"}, {"train.threads", "1"}};
    gn2_config *config = NULL;
    gn2_model *model = NULL;
    gn2_trainer *trainer = NULL;
    check(gn2_config_create(&config));
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        check(gn2_config_set_text(config, settings[i][0], settings[i][1]));
    check(gn2_model_create(config, &model));
    check(gn2_trainer_create(model, config, &trainer));
    gn2_model_free(model);
    gn2_config_free(config);
    return trainer;
}

/* Twenty steps, alone or with a group; the last loss. */
static double train(gn2_group *group)
{
    static float features[JETS][2], tracks[JETS][19];
    static int64_t offsets[JETS + 1];
    static int32_t flavour[JETS];
    for (int i = 0; i < JETS; i++) {
        flavour[i] = i % 4;
        features[i][0] = (float)(i % 7);
        tracks[i][5] = (float)(i % 4);
        offsets[i + 1] = i + 1;
    }
    const gn2_sequence sequence = {
        .struct_size = sizeof sequence, .data = tracks[0], .offsets = offsets};
    const gn2_jets jets = {.struct_size = sizeof jets,
                           .count = JETS,
                           .features = features[0],
                           .sequence_count = 1,
                           .sequences = &sequence};
    const gn2_label label = {.struct_size = sizeof label,
                             .name = "jets_classification",
                             .data = flavour,
                             .type = GN2_DATA_I32};
    const gn2_labels labels = {
        .struct_size = sizeof labels, .label_count = 1, .labels = &label};
    gn2_step_stats stats = {.struct_size = sizeof stats};
    gn2_trainer *trainer = make_trainer();
    if (group) check(gn2_trainer_join(trainer, group));
    for (int i = 0; i < 20; i++)
        check(gn2_trainer_step(trainer, &jets, &labels, &stats));
    gn2_trainer_free(trainer);
    return stats.loss;
}

static double train_as(int32_t rank, int fd)
{
    gn2_group *group = NULL;
    const gn2_transport transport = {.struct_size = sizeof transport,
                                     .rank = rank,
                                     .size = 2,
                                     .user = &fd,
                                     .exchange = exchange,
                                     .abort = end_other};
    fcntl(fd, F_SETFL, O_NONBLOCK);
    check(gn2_group_create(&transport, &group));
    const double loss = train(group);
    printf("rank %d: loss %.17g\n", (int)rank, loss);
    gn2_group_free(group);
    return loss;
}

int main(void)
{
    int fd[2], status = 0;
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fd)) return 1;
    const pid_t child = fork();
    close(fd[child == 0 ? 0 : 1]);
    if (child == 0) return train_as(1, fd[1]) == train(NULL) ? 0 : 1;
    const double loss = train_as(0, fd[0]);
    waitpid(child, &status, 0);
    printf("alone:  loss %.17g\n", train(NULL));
    return loss == train(NULL) && status == 0 ? 0 : 1;
}
