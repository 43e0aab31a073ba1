// SPDX-License-Identifier: Apache-2.0
//
// Tagging as a reconstruction does it: one model for the process, one tagger a thread,
// event after event with any number of jets and tracks, D_b with fractions of the
// caller's. The events are made up; with no model file the weights are random.
//
//   reco [MODEL.gn2 [EVENTS [THREADS]]]
#include <gn2/gn2.hpp>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <thread>

namespace
{

// What the event store holds for a jet.
struct Track {
    float values[19];
};
struct Jet {
    float pt, eta;
    std::vector<Track> tracks;
};
using Event = std::vector<Jet>;

Event make_event(std::uint32_t number)
{
    std::mt19937 random(number);
    std::poisson_distribution<int> jets(4), tracks(8);
    std::uniform_real_distribution<float> pt(20e3f, 250e3f), eta(-2.5f, 2.5f);
    std::normal_distribution<float> value(0.0f, 1.0f);
    Event event(static_cast<std::size_t>(jets(random)));
    for (Jet &jet : event) {
        jet.pt = pt(random);
        jet.eta = eta(random);
        jet.tracks.resize(static_cast<std::size_t>(tracks(random)));
        for (Track &track : jet.tracks)
            for (float &x : track.values) x = value(random);
    }
    return event;
}

// Tags events; a thread has one of these. The buffers keep their memory.
class JetTagger
{
  public:
    explicit JetTagger(const gn2::Model &model)
        : tagger_(model), fractions_(model.classes().size(), 0.0)
    {
        // f_c = 0.1, f_tau = 0.01 here; the model's own are in "jets.D_b"
        const auto classes = model.classes();
        for (std::size_t i = 0; i < classes.size(); i++) {
            if (classes[i] == "bjets") signal_ = i;
            if (classes[i] == "cjets") fractions_[i] = 0.1;
            if (classes[i] == "taujets") fractions_[i] = 0.01;
            if (classes[i] == "ujets") fractions_[i] = 0.89;
        }
    }

    // D_b of every jet of the event.
    std::vector<float> run(const Event &event)
    {
        features_.clear();
        tracks_.clear();
        offsets_.assign(1, 0);
        for (const Jet &jet : event) {
            features_.insert(features_.end(), {jet.pt, jet.eta});
            for (const Track &track : jet.tracks)
                tracks_.insert(tracks_.end(), track.values, track.values + 19);
            offsets_.push_back(offsets_.back() +
                               static_cast<std::int64_t>(jet.tracks.size()));
        }
        gn2::Jets jets(event.size(), features_);
        jets.add_ragged(tracks_, offsets_);
        const gn2::Flavour scores = tagger_.flavour(jets);
        return gn2::discriminant(scores.probabilities, signal_, fractions_);
    }

  private:
    gn2::Tagger tagger_;
    std::size_t signal_ = 0;
    std::vector<double> fractions_;
    std::vector<float> features_, tracks_;
    std::vector<std::int64_t> offsets_;
};

gn2::Model get_model(const char *path)
{
    return path ? gn2::Model::load(path) : gn2::Model(gn2::Config());
}

int run(int argc, char **argv)
{
    const gn2::Model model = get_model(argc > 1 ? argv[1] : nullptr);
    const unsigned events = argc > 2 ? static_cast<unsigned>(std::atoi(argv[2])) : 50;
    const unsigned threads = argc > 3 ? static_cast<unsigned>(std::atoi(argv[3])) : 3;
    std::vector<std::vector<float>> d_b(events);
    std::vector<std::string> errors(threads);
    std::atomic<unsigned> next{0};

    std::vector<std::thread> pool;
    for (unsigned t = 0; t < threads; t++)
        pool.emplace_back([&, t] {
            try {
                JetTagger tagger(model);
                for (unsigned i = next++; i < events; i = next++)
                    d_b[i] = tagger.run(make_event(i));
            } catch (const std::exception &error) {
                errors[t] = error.what();
            }
        });
    for (std::thread &thread : pool) thread.join();
    for (const std::string &error : errors)
        if (!error.empty()) throw std::runtime_error(error);

    // One thread, one jet at a time: the same numbers, to the last bit.
    JetTagger again(model);
    for (unsigned i = 0; i < events; i++) {
        const Event event = make_event(i);
        for (std::size_t j = 0; j < event.size(); j++)
            if (again.run({event[j]}).at(0) != d_b[i].at(j))
                throw std::runtime_error("a score depends on the other jets");
    }
    std::size_t jets = 0;
    for (const auto &event : d_b) jets += event.size();
    std::printf("%u events, %zu jets, %u threads\n", events, jets, threads);
    for (std::size_t j = 0; events && j < d_b[0].size(); j++)
        std::printf("event 0, jet %zu: D_b = %.3f\n", j,
                    static_cast<double>(d_b[0][j]));
    return 0;
}

} // namespace

int main(int argc, char **argv)
{
    try {
        return run(argc, argv);
    } catch (const std::exception &error) {
        std::fprintf(stderr, "reco: %s\n", error.what());
        return 1;
    }
}
