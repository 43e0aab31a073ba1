/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file gn2.hpp
 * @brief C++17 over the C interface: objects that free themselves, exceptions.
 *
 * Header only: it is compiled into the client, so no C++ type and no exception ever
 * crosses the border of the library. What the calls do, their units, shapes and
 * thread rules are said in the C headers; here only what is different.
 *
 * @code
 * gn2::Model model = gn2::Model::load("gn2.gn2");
 * gn2::Tagger tagger(model);
 * gn2::Jets jets(3, jet_values);
 * jets.add_ragged(track_values, offsets);
 * gn2::Flavour scores = tagger.flavour(jets);
 * float d_b = scores.d_b[0], p_b = scores.probability(0, 0);
 * @endcode
 *
 * tagger.hpp alone is enough to tag, pool.hpp gives the tasks of a scheduler a tagger
 * each, trainer.hpp adds datasets and training.
 * Every class is movable and not copyable. Every call that fails throws gn2::Error.
 */
#ifndef GN2_GN2_HPP
#define GN2_GN2_HPP

#include <gn2/config.hpp>
#include <gn2/gn2.h>
#include <gn2/pool.hpp>
#include <gn2/tagger.hpp>
#include <gn2/trainer.hpp>

#endif
