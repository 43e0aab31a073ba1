/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two processes train one model, over a socket: an example of a transport, not one for
 * use between machines. Both end with the model of one process, to the bit.
 */
#include <errno.h>
#include <fcntl.h>
#include <gn2/gn2.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- the transport: a socket to the only peer there is ---- */

typedef struct link_to_peer {
    int fd;       /* does not block */
    int patience; /* ms without a byte */
} link_to_peer;

/* Where a message stands. */
typedef struct message {
    char *bytes;
    size_t left;
} message;

/* Moves what the socket takes or has; nothing at all is fine, the peer's end is not. */
static gn2_status move(int fd, message *m, short event)
{
    const ssize_t n = event == POLLOUT ? send(fd, m->bytes, m->left, MSG_NOSIGNAL)
                                       : recv(fd, m->bytes, m->left, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return GN2_OK;
    if (n <= 0) return GN2_ERR_IO;
    m->bytes += n;
    m->left -= (size_t)n;
    return GN2_OK;
}

/* Both ways at once: each side may send more than the socket can hold. */
static gn2_status move_both(const link_to_peer *l, message out, message in)
{
    gn2_status status = GN2_OK;
    while (status == GN2_OK && (out.left || in.left)) {
        struct pollfd p = {.fd = l->fd};
        p.events = (short)((out.left ? POLLOUT : 0) | (in.left ? POLLIN : 0));
        const int ready = poll(&p, 1, l->patience);
        if (ready < 0 && errno == EINTR) continue;
        if (ready <= 0) return GN2_ERR_IO;
        /* an error or the peer's end is told by the call itself */
        if (in.left && (p.revents & ~POLLOUT)) status = move(l->fd, &in, POLLIN);
        if (status == GN2_OK && out.left && (p.revents & ~POLLIN))
            status = move(l->fd, &out, POLLOUT);
    }
    return status;
}

/* Eight bytes in front of a message tell its size: a socket knows no messages. */
static gn2_status exchange(void *user, int32_t peer, const void *send, size_t send_size,
                           void *receive, size_t receive_size)
{
    uint64_t mine = send_size, theirs = receive_size;
    const message told = {(char *)&mine, send_size ? sizeof mine : 0};
    const message asked = {(char *)&theirs, receive_size ? sizeof theirs : 0};
    const message out = {(char *)(uintptr_t)send, send_size};
    const message in = {receive, receive_size};
    (void)peer;
    if (move_both(user, told, asked) != GN2_OK) return GN2_ERR_IO;
    return theirs == receive_size ? move_both(user, out, in) : GN2_ERR_FORMAT;
}

static void wait_at_most(void *user, double seconds)
{
    link_to_peer *l = user;
    l->patience = seconds < 1e6 ? (int)(1e3 * seconds) : -1;
}

/* The peer's next exchange fails. */
static void end_other(void *user, const char *why)
{
    const link_to_peer *l = user;
    fprintf(stderr, "train_together: %s\n", why);
    shutdown(l->fd, SHUT_RDWR);
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

/* What a trainer ends with, as a file of this many bytes. */
typedef struct file {
    char bytes[1 << 20];
    size_t size;
} file;

static void keep(gn2_trainer *trainer, file *out)
{
    gn2_model *model = NULL;
    out->size = sizeof out->bytes;
    check(gn2_trainer_snapshot(trainer, &model));
    check(gn2_model_save_buffer(model, out->bytes, sizeof out->bytes, &out->size));
    gn2_model_free(model);
}

/* Twenty steps, alone or with a group; the model. */
static void train(gn2_group *group, file *out)
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
    gn2_trainer *trainer = make_trainer();
    if (group) check(gn2_trainer_join(trainer, group));
    for (int i = 0; i < 20; i++) check(gn2_trainer_step(trainer, &jets, &labels, NULL));
    keep(trainer, out);
    gn2_trainer_free(trainer);
}

/* As one of two, then alone: the same model? */
static int is_same(int32_t rank, int fd)
{
    static file together, alone;
    link_to_peer l = {fd, 60000};
    gn2_group *group = NULL;
    const gn2_transport transport = {.struct_size = sizeof transport,
                                     .rank = rank,
                                     .size = 2,
                                     .user = &l,
                                     .exchange = exchange,
                                     .abort = end_other,
                                     .set_timeout = wait_at_most};
    if (fcntl(fd, F_SETFL, O_NONBLOCK)) return 0;
    check(gn2_group_create(&transport, &group));
    train(group, &together);
    gn2_group_free(group);
    train(NULL, &alone);
    const int same = together.size == alone.size &&
                     memcmp(together.bytes, alone.bytes, alone.size) == 0;
    printf("rank %d: %zu bytes, %s\n", (int)rank, together.size,
           same ? "those of one process" : "NOT those of one process");
    return same;
}

int main(void)
{
    int fd[2], status = 0;
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fd)) return 1;
    const pid_t child = fork();
    if (child < 0) return 1;
    close(fd[child == 0 ? 0 : 1]);
    if (child == 0) return is_same(1, fd[1]) ? 0 : 1;
    const int same = is_same(0, fd[0]);
    if (waitpid(child, &status, 0) != child) return 1;
    return same && status == 0 ? 0 : 1;
}
