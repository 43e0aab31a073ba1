// SPDX-License-Identifier: Apache-2.0
// gn2.hpp: sizes, types, memory of the caller, exceptions of callbacks, a pool.
#include <gn2/gn2.hpp>

#include <cstdio>
#include <cstring>
#include <string>
#include <thread>

namespace
{

int failures;

void expect(bool good, const char *what, int line)
{
    if (good) return;
    std::printf("line %d: %s\n", line, what);
    failures++;
}
#define EXPECT(condition) expect((condition), #condition, __LINE__)

// What a call throws, "" if nothing.
template <class F> std::string thrown_by(F &&call)
{
    try {
        call();
    } catch (const std::exception &error) {
        return error.what();
    }
    return "";
}
#define THROWS(word, ...)                                                   \
    expect(thrown_by([&] { __VA_ARGS__; }).find(word) != std::string::npos, \
           #__VA_ARGS__, __LINE__)

constexpr std::size_t JETS = 4, TRACKS = 19;

// Four jets of 2, 0, 3 and 1 tracks, so many times over.
struct Arrays {
    std::size_t count;
    std::vector<float> features, tracks;
    std::vector<int64_t> offsets{0};

    explicit Arrays(std::size_t times = 1)
        : count(JETS * times), features(2 * count), tracks(6 * TRACKS * times)
    {
        for (std::size_t i = 0; i < features.size(); i++)
            features[i] = 0.1f * static_cast<float>(i);
        for (std::size_t i = 0; i < tracks.size(); i++)
            tracks[i] = static_cast<float>(i % 7) - 3;
        for (std::size_t i = 0; i < times; i++)
            for (const int64_t n : {2, 0, 3, 1}) offsets.push_back(offsets.back() + n);
    }
    gn2::Jets jets() const
    {
        gn2::Jets jets(count, features);
        jets.add_ragged(tracks, offsets);
        return jets;
    }
};

gn2::Config small(const std::vector<std::string> &classes = {})
{
    gn2::Config config;
    config.set("model.embed_dim", 16).set("model.num_heads", 2);
    config.set("model.num_layers", 1).set("model.out_dim", 8);
    if (!classes.empty()) config.set("model.classes", classes);
    return config;
}

// ---- options ----

void values_of_their_natural_type()
{
    gn2::Config config;
    config.set("model.zero_query", true).set("optim.eps", 1).set("model.num_heads", 4);
    EXPECT(config.get_str("model.zero_query") == "yes");
    EXPECT(config.get_f64("optim.eps") == 1.0);
    EXPECT(config.get_i64("model.num_heads") == 4);
    EXPECT(config.set("model.zero_query", false).get_str("model.zero_query") == "no");
    THROWS("model.num_heads", config.set("model.num_heads", true));
    THROWS("model.name_", config.set("model.name_", 3));
    gn2::Config other;
    EXPECT(other.load_text(config.text()).text() == config.copy().text());
}

// ---- sizes ----

template <class... A>
constexpr bool makes_jets = std::is_constructible_v<gn2::Jets, A...>;
static_assert(makes_jets<std::size_t, std::vector<float> &>);
static_assert(makes_jets<std::size_t, const std::vector<float> &>);
static_assert(makes_jets<std::size_t, gn2::Span<const float>>);
static_assert(!makes_jets<std::size_t, std::vector<float>>, "it would be gone");
static_assert(!makes_jets<std::size_t, const std::vector<float>>, "it would be gone");

void sizes_are_checked()
{
    const Arrays a;
    gn2::Model model(small());
    gn2::Tagger tagger(model);
    const gn2::Span<const float> few(a.features.data(), 3), four(a.features.data(), 4);
    const gn2::Span<const float> tracks(a.tracks.data(), 5 * TRACKS + 18);
    THROWS("count rows", gn2::Jets(2, few));
    gn2::Jets thin(JETS, four), short_of_tracks(JETS, a.features);
    thin.add_ragged(a.tracks, a.offsets);
    THROWS("features has 4 floats", tagger.flavour(thin));
    short_of_tracks.add_ragged(tracks, a.offsets);
    THROWS("113 floats, 6 rows", tagger.flavour(short_of_tracks));
    THROWS("113 floats, 6 rows", tagger.run("tracks.origin", short_of_tracks));
    THROWS("0 constituent types", tagger.flavour(gn2::Jets(JETS, a.features)));
    std::vector<float> p(4 * JETS - 1);
    THROWS("too little room", tagger.flavour_into(a.jets(), p));
}

void rows_may_be_apart()
{
    const Arrays a;
    gn2::Model model(small());
    gn2::Tagger tagger(model);
    const gn2::Flavour want = tagger.flavour(a.jets());
    std::vector<float> wide(5 * (JETS - 1) + 2, 9.0f), p(4 * JETS), d_b(JETS);
    for (std::size_t i = 0; i < JETS; i++)
        std::memcpy(&wide[5 * i], &a.features[2 * i], 2 * sizeof(float));
    gn2::Jets jets(JETS, wide, 5);
    jets.add_ragged(a.tracks, a.offsets);
    tagger.flavour_into(jets, p, d_b);
    EXPECT(p == want.probabilities && d_b == want.d_b);
    std::vector<float> spread(6 * (JETS - 1) + 4);
    tagger.run_into<float>("jets.probabilities", jets, spread, 6);
    for (std::size_t i = 0; i < JETS; i++)
        EXPECT(!std::memcmp(&spread[6 * i], &p[4 * i], 4 * sizeof(float)));
    tagger.bind("jets", {"eta", "mass", "pt"}); // three columns now
    THROWS("3 columns", tagger.flavour(a.jets()));
    tagger.bind("jets", {});
    EXPECT(tagger.flavour(a.jets()).d_b == want.d_b);
}

// ---- outputs ----

void outputs_have_types_and_rows()
{
    const Arrays a;
    gn2::Model model(small());
    gn2::Tagger tagger(model);
    const gn2::Jets jets = a.jets();
    EXPECT(tagger.outputs().size() == 18);
    EXPECT(std::string(tagger.output_info("pairs.logits").object) == "tracks");
    EXPECT(tagger.run("jets.embedding", jets).size() == 8 * JETS);
    EXPECT(tagger.run("tracks.origin", jets).size() == 6 * 8);
    EXPECT(tagger.run("pairs.logits", jets).size() == 2 + 6);
    EXPECT(tagger.run<int32_t>("tracks.vertex", jets).size() == 6);
    THROWS("is int32_t", tagger.run("tracks.vertex", jets, 6));
    THROWS("is float", tagger.run<int32_t>("jets.D_b", jets));
    const std::vector<uint8_t> valid{1, 1, 0, 0, 0, 0, 1, 1, 1, 0, 1, 0};
    const std::vector<float> slots(12 * TRACKS, 0.5f);
    gn2::Jets padded(JETS, a.features);
    padded.add_padded(slots, 3, valid);
    EXPECT(tagger.run<int32_t>("tracks.vertex", padded).size() == 12);
    EXPECT(tagger.run("pairs.logits", padded).size() == 2 + 0 + 6 + 0);
    gn2_jets raw = jets.c();
    float d_b[JETS];
    gn2_output out{};
    out.struct_size = sizeof out;
    out.id = tagger.output("jets.D_b");
    out.data = d_b;
    out.capacity = JETS;
    tagger.run(raw, gn2::Span<const gn2_output>(&out, 1));
    EXPECT(d_b[2] == tagger.flavour(jets).d_b[2]);
}

void other_classes_have_no_d_b()
{
    const Arrays a;
    gn2::Model model(small({"hbb", "hcc", "top"}));
    gn2::Tagger tagger(model);
    const gn2::Flavour scores = tagger.flavour(a.jets());
    EXPECT(scores.d_b.empty() && scores.probabilities.size() == 3 * JETS);
    EXPECT(model.class_index("top") == 2);
    THROWS("hbb hcc top", model.class_index("bjets"));
}

void models_are_shared_and_copied()
{
    gn2::Model model(small());
    const auto bytes = model.save_buffer();
    gn2::Model other = gn2::Model::load_buffer(bytes.data(), bytes.size());
    EXPECT(other.save_buffer() == bytes);
    gn2::Model same = model.share();
    EXPECT(same.c() == model.c());
    EXPECT(model.constituents() == std::vector<std::string>{"tracks"});
}

// ---- callbacks ----

void a_scheduler_may_throw()
{
    const Arrays a(20); // more than one task
    gn2::Model model(small());
    gn2::Tagger tagger(model);
    const auto want = tagger.flavour(a.jets()).probabilities;
    int calls = 0;
    tagger.set_parallel(
        [&](int64_t count, const std::function<void(int64_t)> &task) {
            if (++calls == 2) throw std::runtime_error("no worker");
            for (int64_t i = 0; i < count; i++) task(i);
        },
        2);
    gn2::Tagger moved(std::move(tagger));
    EXPECT(moved.flavour(a.jets()).probabilities == want);
    THROWS("no worker", moved.flavour(a.jets()));
    EXPECT(moved.flavour(a.jets()).probabilities == want);
    EXPECT(calls == 3);
}

void a_scheduler_that_comes_back_is_told()
{
    const Arrays a(20); // more than one task
    gn2::Model model(small());
    gn2::Tagger tagger(model);
    std::string inner;
    tagger.set_parallel(
        [&](int64_t count, const std::function<void(int64_t)> &task) {
            inner = thrown_by([&] { tagger.flavour(a.jets()); });
            for (int64_t i = 0; i < count; i++) task(i);
        },
        2);
    EXPECT(tagger.flavour(a.jets()).d_b.size() == a.count);
    EXPECT(inner.find("under way") != std::string::npos);
}

// ---- pool ----

void tasks_take_taggers()
{
    const Arrays a;
    gn2::Model model(small());
    const auto want = gn2::Tagger(model).flavour(a.jets()).probabilities;
    int prepared = 0;
    std::vector<float> turned = a.features;
    for (std::size_t i = 0; i < JETS; i++) std::swap(turned[2 * i], turned[2 * i + 1]);
    gn2::TaggerPool pool(model, small().set("tagger.threads", 1), [&](gn2::Tagger &t) {
        t.bind("jets", {"eta", "pt"});
        prepared++;
    });
    gn2::Jets jets(JETS, turned);
    jets.add_ragged(a.tracks, a.offsets);
    for (int i = 0; i < 3; i++)
        EXPECT(pool.take()->flavour(jets).probabilities == want);
    EXPECT(pool.size() == 1);
    {
        // a task inside another, on one thread
        auto outer = pool.take();
        EXPECT(pool.take()->flavour(jets).probabilities == want);
        EXPECT((*outer).flavour(jets).probabilities == want);
    }
    EXPECT(pool.size() == 2 && prepared == 2);
}

void threads_share_a_pool()
{
    const Arrays a;
    gn2::Model model(small());
    const auto want = gn2::Tagger(model).flavour(a.jets()).probabilities;
    gn2::TaggerPool pool(model);
    std::vector<std::thread> threads;
    std::vector<int> wrong(4);
    for (std::size_t t = 0; t < wrong.size(); t++)
        threads.emplace_back([&, t] {
            for (int i = 0; i < 50; i++)
                wrong[t] += pool.take()->flavour(a.jets()).probabilities != want;
        });
    for (std::thread &thread : threads) thread.join();
    for (int count : wrong) EXPECT(count == 0);
    EXPECT(pool.size() >= 1 && pool.size() <= wrong.size());
}

} // namespace

int main()
{
    values_of_their_natural_type();
    sizes_are_checked();
    rows_may_be_apart();
    outputs_have_types_and_rows();
    other_classes_have_no_d_b();
    models_are_shared_and_copied();
    a_scheduler_may_throw();
    a_scheduler_that_comes_back_is_told();
    tasks_take_taggers();
    threads_share_a_pool();
    std::printf("%d failures\n", failures);
    return failures != 0;
}
