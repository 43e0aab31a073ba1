/* SPDX-License-Identifier: Apache-2.0 */
/* The functions of group.h. */
#include "abi/guard.h"
#include "group/agree.h"
#include "train/trainer.h"

gn2_status gn2_group_create(const gn2_transport *transport, gn2_group **out_group)
{
    gn2_transport mine;
    GN2_REQUIRE_OUT(out_group);
    GN2_REQUIRE(transport);
    GN2_TRY(
        gn2_guard_in(GN2_GUARD_IN(gn2_transport, exchange_parts), &mine, transport));
    return gn2_group_new(&mine, out_group);
}

void gn2_group_free(gn2_group *group)
{
    gn2_group_delete(group);
}

int32_t gn2_group_rank(const gn2_group *group)
{
    return gn2_group_me(group);
}

int32_t gn2_group_size(const gn2_group *group)
{
    return gn2_group_ranks(group);
}

static gn2_status check_broadcast(const gn2_group *group, const void *data, size_t size,
                                  int32_t root)
{
    const int32_t ranks = gn2_group_ranks(group);
    GN2_CHECK(data || !size, "gn2_group_broadcast: data is NULL");
    GN2_CHECK(root >= 0 && root < ranks, "gn2_group_broadcast: root = %d of %d ranks",
              (int)root, (int)ranks);
    return GN2_OK;
}

static gn2_status broadcast(gn2_group *group, void *data, size_t size, int32_t root)
{
    const gn2_place place = {
        .kind = GN2_PLACE_BROADCAST, .count = (int64_t)size, .digest = (uint64_t)root};
    int32_t stop;
    const gn2_status status = check_broadcast(group, data, size, root);
    GN2_TRY(gn2_group_agree(group, status, &place, &stop));
    return gn2_group_spread(group, data, size, root);
}

gn2_status gn2_group_broadcast(gn2_group *group, void *data, size_t size, int32_t root)
{
    GN2_REQUIRE(group);
    GN2_TRY_HELD(&group->use, broadcast(group, data, size, root));
    return GN2_OK;
}

gn2_status gn2_trainer_join(gn2_trainer *trainer, gn2_group *group)
{
    GN2_REQUIRE(group);
    if (!trainer)
        return gn2_group_refuse(
            group, gn2_fail(GN2_ERR_INVALID_ARG, "gn2_trainer_join: trainer is NULL"));
    gn2_status status = gn2_use_take(&trainer->use, __func__);
    if (status != GN2_OK) return gn2_group_refuse(group, status);
    status = gn2_train_join(trainer, group);
    gn2_use_give_back(&trainer->use);
    return status;
}
