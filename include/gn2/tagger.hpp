/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file tagger.hpp
 * @brief C++17: models and running them on jets.
 * See gn2.hpp.
 */
#ifndef GN2_TAGGER_HPP
#define GN2_TAGGER_HPP

#include <gn2/jets.hpp>

#include <exception>
#include <functional>
#include <utility>

namespace gn2
{

/** A network; see gn2_model. Free to go while taggers and trainers use it. */
class Model
{
  public:
    /** Random weights for the architecture of `config`. */
    explicit Model(const Config &config)
    {
        detail::check_abi();
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
        detail::check_abi();
        gn2_model *model = nullptr;
        check(gn2_model_load(path.c_str(), &model));
        return Model(model);
    }
    /** Reads the bytes of a `.gn2` file. */
    static Model load_buffer(const void *data, std::size_t size)
    {
        detail::check_abi();
        gn2_model *model = nullptr;
        check(gn2_model_load_buffer(data, size, &model));
        return Model(model);
    }
    /** What a file says of its model, without reading the weights. */
    static Config inspect(const std::string &path)
    {
        gn2_config *config = nullptr;
        check(gn2_model_inspect(path.c_str(), &config));
        return Config(config);
    }
    /** Another owner of the same model. */
    Model share() const noexcept
    {
        return Model(gn2_model_ref(c()));
    }
    /** The bytes of a `.gn2` file. */
    std::vector<unsigned char> save_buffer() const
    {
        std::size_t size = 0;
        check(gn2_model_save_buffer(c(), nullptr, 0, &size));
        std::vector<unsigned char> bytes(size);
        check(gn2_model_save_buffer(c(), bytes.data(), bytes.size(), &size));
        return bytes;
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
    /** Index of a class among them. */
    std::size_t class_index(const std::string &name) const
    {
        std::size_t index = 0;
        check(gn2_model_class_find(c(), name.c_str(), &index));
        return index;
    }
    /** Names of the constituent types, in order. */
    std::vector<std::string> constituents() const
    {
        std::vector<std::string> names(1);
        for (const char letter : metadata("model.constituents"))
            if (letter == ',')
                names.emplace_back();
            else
                names.back() += letter;
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

/** Probabilities and D_b of the jets of a call. */
struct Flavour {
    std::size_t classes = 0;          /**< columns of `probabilities` */
    std::vector<float> probabilities; /**< (jets, classes) */
    std::vector<float> d_b;           /**< (jets); empty if the model has no "bjets" */
    /** Probability of class `index` for jet `jet`. */
    float probability(std::size_t jet, std::size_t index) const
    {
        return probabilities.at(jet * classes + index);
    }
};

/** GN2_DATA_* of a C++ type. */
template <class T> constexpr int32_t data_type() noexcept
{
    static_assert(std::is_same_v<T, float> || std::is_same_v<T, int32_t>,
                  "outputs are float or int32_t");
    return std::is_same_v<T, float> ? GN2_DATA_F32 : GN2_DATA_I32;
}

/** Runs a model on jets; see gn2_tagger. One call at a time; gn2::TaggerPool gives each
 * task of a scheduler one. */
class Tagger
{
  public:
    /** Runs task(0 … count − 1) on any threads. It returns, or throws, when no task is
     * running any more. */
    using Scheduler =
        std::function<void(int64_t count, const std::function<void(int64_t)> &task)>;

    /** With default options: one thread, f32. */
    explicit Tagger(const Model &model) : Tagger(model, nullptr)
    {
    }
    /** With options. */
    Tagger(const Model &model, const Config &config) : Tagger(model, config.c())
    {
    }
    /** Tells the order of the caller's columns, by name; none: the model's again. */
    void bind(const std::string &object, const std::vector<std::string> &names)
    {
        const auto texts = detail::pointers(names);
        check(gn2_tagger_bind(c(), object.c_str(), texts.data(), texts.size()));
        for (std::size_t i = 0; i < objects_.size(); i++)
            if (objects_[i] == object) columns_[i] = width(i, names.size());
    }
    /** Lets the caller's scheduler run the work; see gn2_tagger_set_parallel(). */
    void set_parallel(gn2_parallel_fn fn, void *user, int32_t workers)
    {
        check(gn2_tagger_set_parallel(c(), fn, user, workers));
        call_.reset();
    }
    /** The same with a function object. What it throws cancels the call and comes out
     * of it. */
    void set_parallel(Scheduler scheduler, int32_t workers)
    {
        auto call = std::make_unique<Call>(Call{std::move(scheduler), c(), nullptr});
        check(gn2_tagger_set_parallel(c(), &Call::run, call.get(), workers));
        call_ = std::move(call);
    }
    /** Ends the call under way, which throws GN2_ERR_CANCELLED; any thread may. */
    void cancel() noexcept
    {
        gn2_tagger_cancel(c());
    }
    /** Bytes of scratch for calls of up to so many jets and constituents a jet. */
    std::size_t workspace_size(int64_t max_jets, int64_t max_tracks) const
    {
        std::size_t bytes = 0;
        check(gn2_tagger_workspace_size(c(), max_jets, max_tracks, &bytes));
        return bytes;
    }
    /** All outputs; their names live as long as the tagger. */
    std::vector<gn2_output_info> outputs() const
    {
        std::vector<gn2_output_info> infos(gn2_tagger_output_count(c()));
        for (std::size_t i = 0; i < infos.size(); i++) infos[i] = describe(i);
        return infos;
    }
    /** One output, e.g. "jets.embedding". */
    gn2_output_info output_info(const std::string &name) const
    {
        return describe(static_cast<std::size_t>(output(name)));
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
    /** Rows an output has for these jets. */
    std::size_t output_rows(const gn2_output_info &info, const Jets &jets) const
    {
        if (info.rows == GN2_ROWS_JETS) return jets.count();
        const std::size_t sequence = static_cast<std::size_t>(info.sequence);
        return info.rows == GN2_ROWS_PAIRS ? jets.pairs(sequence) : jets.rows(sequence);
    }
    /** Fills outputs whose memory the caller provides. */
    void run(const Jets &jets, Span<const gn2_output> outputs)
    {
        jets.check(columns_);
        run(jets.c(), outputs);
    }
    /** The same of jets as the C interface has them, whose sizes are not known. */
    void run(const gn2_jets &jets, Span<const gn2_output> outputs)
    {
        finish(gn2_tagger_run(c(), &jets, outputs.data(), outputs.size()));
    }
    /** One output, e.g. run("jets.D_c", jets) or run<int32_t>("tracks.vertex", jets);
     * an output of another type is refused. */
    template <class T = float>
    std::vector<T> run(const std::string &name, const Jets &jets)
    {
        jets.check(columns_); /* before rows are counted */
        return run<T>(name, jets, output_rows(output_info(name), jets));
    }
    /** The same with room for `rows` rows. */
    template <class T = float>
    std::vector<T> run(const std::string &name, const Jets &jets, std::size_t rows)
    {
        std::vector<T> values(rows * output_columns(output(name)));
        run_into<T>(name, jets, values);
        return values;
    }
    /** One output into memory of the caller, rows `stride` elements apart, 0 = packed.
     */
    template <class T>
    void run_into(const std::string &name, const Jets &jets, Span<T> values,
                  std::size_t stride = 0)
    {
        gn2_output out = detail::sized<gn2_output>();
        out.id = output(name);
        out.type = data_type<T>();
        out.data = values.data();
        out.row_stride = static_cast<int64_t>(stride);
        out.capacity = capacity(values.size(), output_columns(out.id), stride);
        run(jets, Span<const gn2_output>(&out, 1));
    }
    /** Probabilities, and D_b where the model has "bjets". */
    Flavour flavour(const Jets &jets)
    {
        Flavour scores;
        scores.classes = classes_;
        scores.probabilities.resize(jets.count() * classes_);
        if (has_d_b_) scores.d_b.resize(jets.count());
        flavour_into(jets, scores.probabilities, scores.d_b);
        return scores;
    }
    /** The same into memory of the caller: (jets, classes), and (jets) or nothing. */
    void flavour_into(const Jets &jets, Span<float> probabilities, Span<float> d_b = {})
    {
        jets.check(columns_);
        if (probabilities.size() < jets.count() * classes_ ||
            (d_b.size() > 0 && d_b.size() < jets.count()))
            throw std::invalid_argument("gn2::Tagger: too little room for the scores");
        const gn2_jets in = jets.c();
        finish(gn2_tagger_flavour(c(), &in, probabilities.data(),
                                  d_b.size() ? d_b.data() : nullptr));
    }
    /** The C object, still owned by this one. */
    gn2_tagger *c() const noexcept
    {
        return handle_.get();
    }

  private:
    /* No exception may pass through the library: it is kept until the call is back. */
    struct Call {
        Scheduler scheduler;
        gn2_tagger *tagger;
        std::exception_ptr thrown;
        static void run(void *user, int64_t count, void (*task)(void *, int64_t),
                        void *context) noexcept
        {
            Call *call = static_cast<Call *>(user);
            try {
                call->scheduler(count, [=](int64_t index) { task(context, index); });
            } catch (...) {
                call->thrown = std::current_exception();
                gn2_tagger_cancel(call->tagger);
            }
        }
    };

    Tagger(const Model &model, const gn2_config *config)
        : classes_(gn2_model_class_count(model.c())), objects_(model.constituents())
    {
        gn2_tagger *tagger = nullptr;
        check(gn2_tagger_create(model.c(), config, &tagger));
        handle_.reset(tagger);
        objects_.insert(objects_.begin(), "jets");
        for (const std::string &object : objects_)
            inputs_.push_back(gn2_model_input_count(model.c(), object.c_str()));
        columns_ = inputs_;
        int32_t id = 0;
        has_d_b_ = gn2_tagger_output(c(), "jets.D_b", &id) == GN2_OK;
    }
    std::size_t width(std::size_t object, std::size_t names) const noexcept
    {
        return names ? names : inputs_[object];
    }
    gn2_output_info describe(std::size_t index) const
    {
        gn2_output_info info = detail::sized<gn2_output_info>();
        check(gn2_tagger_output_info(c(), index, &info));
        return info;
    }
    static int64_t capacity(std::size_t size, std::size_t columns, std::size_t stride)
    {
        const std::size_t step = stride ? stride : columns;
        if (step == 0 || size < columns) return 0;
        return static_cast<int64_t>((size - columns) / step + 1);
    }
    void finish(gn2_status status)
    {
        if (call_ && call_->thrown)
            std::rethrow_exception(std::exchange(call_->thrown, nullptr));
        check(status);
    }
    std::size_t classes_;
    bool has_d_b_ = false;
    std::vector<std::string> objects_; /* jets, then the constituent types */
    std::vector<std::size_t> inputs_, columns_;
    std::unique_ptr<Call> call_; /* outlives the handle, whose threads use it */
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
