/* SPDX-License-Identifier: Apache-2.0 */
/* A client in C++ that knows only what is installed. */
#include <gn2/gn2.hpp>

#include <iostream>

static_assert(!std::is_copy_constructible_v<gn2::Config>, "one owner");
static_assert(std::is_nothrow_move_constructible_v<gn2::Config>, "movable");
static_assert(!std::is_copy_constructible_v<gn2::Model>, "one owner");
static_assert(std::is_nothrow_move_constructible_v<gn2::Tagger>, "movable");

static bool refuses_unknown_keys(gn2::Config &config)
{
    try {
        config.set("model.embed_dimm", 1);
    } catch (const gn2::Error &error) {
        return error.status() == GN2_ERR_NOT_FOUND && !error.of_network() &&
               std::string(error.name()) == "GN2_ERR_NOT_FOUND" &&
               std::string(error.what()).find("model.embed_dim") != std::string::npos;
    }
    return false;
}

int main()
{
    gn2::Config config;
    config.set("model.embed_dim", 32).set("schedule.max", 1e-3).set("model.name", "x");
    config.set("model.classes", std::vector<std::string>{"bjets", "cjets", "ujets"});
    config.set("norm.jets.mean", std::vector<double>{1, 2.5});
    gn2::Config moved = std::move(config);
    const bool right = moved.get_i64("model.embed_dim") == 32 &&
                       moved.get_f64("schedule.max") == 1e-3 &&
                       moved.get_str("model.name") == "x" &&
                       moved.get_list("model.classes").at(2) == "ujets" &&
                       moved.get_f64_list("norm.jets.mean").at(1) == 2.5;
    if (!right || !refuses_unknown_keys(moved)) return 1;
    std::cout << "libgn2 " << gn2::version() << " " << gn2::features() << "\n";
    return 0;
}
