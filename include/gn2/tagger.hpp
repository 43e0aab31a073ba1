/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file tagger.hpp
 * @brief C++17: models and running them on jets.
 * See gn2.hpp.
 */
#ifndef GN2_TAGGER_HPP
#define GN2_TAGGER_HPP

#include <gn2/config.hpp>
#include <gn2/tagger.h>

namespace gn2
{

/** A network; see gn2_model. Free to go while taggers and trainers use it. */
class Model
{
  public:
    /** Random weights for the architecture of `config`. */
    explicit Model(const Config &config)
    {
        gn2_model *model = nullptr;
        check(gn2_model_create(config.c(), &model));
        handle_.reset(model);
    }
    /** Takes over a C object. */
    explicit Model(gn2_model *model) noexcept : handle_(model)
    {
    }
    /** Reads a `.gn2` file. */
    static Model load(const std::string &path)
    {
        gn2_model *model = nullptr;
        check(gn2_model_load(path.c_str(), &model));
        return Model(model);
    }
    /** Reads the bytes of a `.gn2` file. */
    static Model load_buffer(const void *data, std::size_t size)
    {
        gn2_model *model = nullptr;
        check(gn2_model_load_buffer(data, size, &model));
        return Model(model);
    }
    /** Writes a `.gn2` file, atomically. */
    void save(const std::string &path) const
    {
        check(gn2_model_save(c(), path.c_str()));
    }
    /** Descriptions of all tensors; their names live as long as the model. */
    std::vector<gn2_param_info> params() const
    {
        std::vector<gn2_param_info> infos(gn2_model_param_count(c()),
                                          detail::sized<gn2_param_info>());
        for (std::size_t i = 0; i < infos.size(); i++)
            check(gn2_model_param_info(c(), i, &infos[i]));
        return infos;
    }
    /** Values of a tensor, row-major. */
    std::vector<float> param(const std::string &name) const
    {
        std::vector<float> values;
        for (const gn2_param_info &info : params())
            if (name == info.name) values.resize(static_cast<std::size_t>(info.count));
        check(gn2_model_param_get(c(), name.c_str(), values.data(), values.size()));
        return values;
    }
    /** Overwrites a tensor of a model nobody uses yet. */
    void set_param(const std::string &name, Span<const float> values)
    {
        check(gn2_model_param_set(c(), name.c_str(), values.data(), values.size()));
    }
    /** Names of the jet classes, in the order of the outputs. */
    std::vector<std::string> classes() const
    {
        std::vector<std::string> names;
        for (std::size_t i = 0; i < gn2_model_class_count(c()); i++)
            names.emplace_back(gn2_model_class_name(c(), i));
        return names;
    }
    /** Names of the inputs of an object ("jets", "tracks"), in order. */
    std::vector<std::string> inputs(const std::string &object) const
    {
        std::vector<std::string> names;
        for (std::size_t i = 0; i < gn2_model_input_count(c(), object.c_str()); i++)
            names.emplace_back(gn2_model_input_name(c(), object.c_str(), i));
        return names;
    }
    /** Value of a config key the model was made with, as text. */
    std::string metadata(const std::string &key) const
    {
        const char *text = nullptr;
        check(gn2_model_metadata_get(c(), key.c_str(), &text));
        return text;
    }
    /** The C object, still owned by this one. */
    gn2_model *c() const noexcept
    {
        return handle_.get();
    }

  private:
    detail::Handle<gn2_model, gn2_model_free> handle_;
};

/**
 * The jets of a call: views of the caller's arrays, which must outlive the call.
 * Constituent types are added in the order of `model.constituents`.
 */
class Jets
{
  public:
    /** `count` jets; `features` (count, jet variables), rows packed. */
    Jets(std::size_t count, Span<const float> features)
        : count_(static_cast<int64_t>(count)), features_(features.data())
    {
    }
    /** Adds a type in ragged form: rows of all jets, `offsets` (count + 1). */
    Jets &add_ragged(Span<const float> data, Span<const int64_t> offsets)
    {
        if (static_cast<int64_t>(offsets.size()) != count_ + 1)
            throw std::invalid_argument("gn2::Jets: offsets must have count + 1 items");
        gn2_sequence sequence = detail::sized<gn2_sequence>();
        sequence.data = data.data();
        sequence.offsets = offsets.data();
        sequences_.push_back(sequence);
        return *this;
    }
    /** Adds a type in padded form: `slots` rows a jet, `valid` (count, slots). */
    Jets &add_padded(Span<const float> data, std::size_t slots,
                     Span<const uint8_t> valid)
    {
        if (valid.size() != static_cast<std::size_t>(count_) * slots)
            throw std::invalid_argument(
                "gn2::Jets: valid must have count * slots items");
        gn2_sequence sequence = detail::sized<gn2_sequence>();
        sequence.data = data.data();
        sequence.slots = static_cast<int64_t>(slots);
        sequence.valid = valid.data();
        sequences_.push_back(sequence);
        return *this;
    }
    /** Number of jets. */
    std::size_t count() const noexcept
    {
        return static_cast<std::size_t>(count_);
    }
    /** The C struct, valid while this object is neither changed nor moved. */
    gn2_jets c() const noexcept
    {
        gn2_jets jets = detail::sized<gn2_jets>();
        jets.count = count_;
        jets.features = features_;
        jets.sequences = sequences_.data();
        jets.sequence_count = static_cast<uint32_t>(sequences_.size());
        jets.sequence_stride = sizeof(gn2_sequence);
        return jets;
    }

  private:
    int64_t count_;
    const float *features_;
    std::vector<gn2_sequence> sequences_;
};

/** Probabilities and D_b of the jets of a call. */
struct Flavour {
    std::size_t classes = 0;          /**< columns of `probabilities` */
    std::vector<float> probabilities; /**< (jets, classes) */
    std::vector<float> d_b;           /**< (jets) */
    /** Probability of class `index` for jet `jet`. */
    float probability(std::size_t jet, std::size_t index) const
    {
        return probabilities.at(jet * classes + index);
    }
};

/** Runs a model on jets; see gn2_tagger. One thread at a time. */
class Tagger
{
  public:
    /** With default options: one thread, f32. */
    explicit Tagger(const Model &model) : Tagger(model, nullptr)
    {
    }
    /** With options. */
    Tagger(const Model &model, const Config &config) : Tagger(model, config.c())
    {
    }
    /** Tells the order of the caller's columns, by name. */
    void bind(const std::string &object, const std::vector<std::string> &names)
    {
        const auto texts = detail::pointers(names);
        check(gn2_tagger_bind(c(), object.c_str(), texts.data(), texts.size()));
    }
    /** Lets the caller's scheduler run the work; see gn2_tagger_set_parallel(). */
    void set_parallel(gn2_parallel_fn fn, void *user, int32_t workers)
    {
        check(gn2_tagger_set_parallel(c(), fn, user, workers));
    }
    /** Bytes of scratch for calls of up to so many jets and constituents a jet. */
    std::size_t workspace_size(int64_t max_jets, int64_t max_tracks)
    {
        std::size_t bytes = 0;
        check(gn2_tagger_workspace_size(c(), max_jets, max_tracks, &bytes));
        return bytes;
    }
    /** Number of an output, e.g. of "jets.embedding", for gn2_output::id. */
    int32_t output(const std::string &name) const
    {
        int32_t id = 0;
        check(gn2_tagger_output(c(), name.c_str(), &id));
        return id;
    }
    /** Columns of an output. */
    std::size_t output_columns(int32_t id) const noexcept
    {
        return static_cast<std::size_t>(gn2_tagger_output_columns(c(), id));
    }
    /** Fills outputs whose memory the caller provides. */
    void run(const Jets &jets, Span<const gn2_output> outputs)
    {
        const gn2_jets in = jets.c();
        check(gn2_tagger_run(c(), &in, outputs.data(), outputs.size()));
    }
    /** One real-valued output of `rows` rows, e.g. run("jets.D_c", jets, n). */
    std::vector<float> run(const std::string &name, const Jets &jets, std::size_t rows)
    {
        gn2_output out = detail::sized<gn2_output>();
        out.id = output(name);
        std::vector<float> values(rows * output_columns(out.id));
        out.data = values.data();
        out.capacity = static_cast<int64_t>(rows);
        run(jets, Span<const gn2_output>(&out, 1));
        return values;
    }
    /** Probabilities and D_b. */
    Flavour flavour(const Jets &jets)
    {
        const gn2_jets in = jets.c();
        Flavour scores;
        scores.classes = classes_;
        scores.probabilities.resize(jets.count() * classes_);
        scores.d_b.resize(jets.count());
        check(gn2_tagger_flavour(c(), &in, scores.probabilities.data(),
                                 scores.d_b.data()));
        return scores;
    }
    /** The C object, still owned by this one. */
    gn2_tagger *c() const noexcept
    {
        return handle_.get();
    }

  private:
    Tagger(const Model &model, const gn2_config *config)
        : classes_(gn2_model_class_count(model.c()))
    {
        gn2_tagger *tagger = nullptr;
        check(gn2_tagger_create(model.c(), config, &tagger));
        handle_.reset(tagger);
    }
    std::size_t classes_;
    detail::Handle<gn2_tagger, gn2_tagger_free> handle_;
};

/** Discriminant of a signal class; `probabilities` (rows, fractions.size()). */
inline std::vector<float> discriminant(Span<const float> probabilities,
                                       std::size_t signal, Span<const double> fractions,
                                       int32_t form = GN2_FORM_LOG)
{
    const std::size_t classes = fractions.size();
    if (classes == 0 || probabilities.size() % classes != 0)
        throw std::invalid_argument("gn2::discriminant: one fraction a class, please");
    std::vector<float> out(probabilities.size() / classes);
    check(gn2_discriminant(probabilities.data(), static_cast<int64_t>(out.size()),
                           static_cast<int64_t>(classes), static_cast<int64_t>(signal),
                           fractions.data(), form, out.data()));
    return out;
}

} // namespace gn2
#endif
