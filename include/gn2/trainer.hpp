/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file trainer.hpp
 * @brief C++17: datasets, score files and training.
 * See gn2.hpp.
 */
#ifndef GN2_TRAINER_HPP
#define GN2_TRAINER_HPP

#include <gn2/tagger.hpp>
#include <gn2/trainer.h>

namespace gn2
{

/** A batch of a dataset: views that live until the next call on the dataset. */
struct Batch {
    gn2_jets jets = detail::sized<gn2_jets>();       /**< inputs */
    gn2_labels labels = detail::sized<gn2_labels>(); /**< truth */
};

/** Jets from HDF5 files, batch by batch; see gn2_dataset. */
class Dataset
{
  public:
    /** Opens files, read in the order given. */
    Dataset(const std::vector<std::string> &paths, const Config &config)
    {
        const auto texts = detail::pointers(paths);
        gn2_dataset *dataset = nullptr;
        check(gn2_dataset_open(texts.data(), texts.size(), config.c(), &dataset));
        handle_.reset(dataset);
    }
    /** Opens one file. */
    Dataset(const std::string &path, const Config &config)
        : Dataset(std::vector<std::string>{path}, config)
    {
    }
    /** Over arrays of the caller, which must outlive the dataset. */
    Dataset(const gn2_jets &jets, const gn2_labels *labels, const Config &config)
    {
        gn2_dataset *dataset = nullptr;
        check(gn2_dataset_from_arrays(&jets, labels, config.c(), &dataset));
        handle_.reset(dataset);
    }
    /** Numbers of jets and batches. */
    gn2_dataset_info info() const
    {
        gn2_dataset_info info = detail::sized<gn2_dataset_info>();
        check(gn2_dataset_info_get(c(), &info));
        return info;
    }
    /** Puts classes, normalisation and class weights into a config. */
    void setup(Config &config)
    {
        check(gn2_dataset_setup(c(), config.c()));
    }
    /** Asks setup() to stop soon; any thread may. */
    void request_stop() noexcept
    {
        gn2_dataset_request_stop(c());
    }
    /** Next batch; false at the end of the epoch. */
    bool next(Batch &batch)
    {
        batch = Batch();
        check(gn2_dataset_next(c(), &batch.jets, &batch.labels));
        return batch.jets.count > 0;
    }
    /** The same without its labels, which are not looked at: for tagging. */
    bool next(gn2_jets &jets)
    {
        jets = detail::sized<gn2_jets>();
        check(gn2_dataset_next(c(), &jets, nullptr));
        return jets.count > 0;
    }
    /** Goes to a batch of an epoch. */
    void reset(int64_t epoch = 0, int64_t batch = 0)
    {
        check(gn2_dataset_reset(c(), epoch, batch));
    }
    /** The C object, still owned by this one. */
    gn2_dataset *c() const noexcept
    {
        return handle_.get();
    }

  private:
    detail::Handle<gn2_dataset, gn2_dataset_free> handle_;
};

/** Writes a score file; removed again unless close() is called. */
class ScoreWriter
{
  public:
    /** Scores of the jets of file `input`, in its order. */
    ScoreWriter(const std::string &path, const std::string &input, const Model &model,
                const Config &config)
    {
        gn2_score_writer *writer = nullptr;
        check(gn2_score_writer_create(path.c_str(), input.c_str(), model.c(),
                                      config.c(), &writer));
        handle_.reset(writer);
    }
    /** Appends the scores of the next jets. */
    void add(const Flavour &scores)
    {
        const std::size_t jets =
            scores.classes ? scores.probabilities.size() / scores.classes : 0;
        const int64_t count = static_cast<int64_t>(jets);
        std::vector<gn2_score> named{
            score("jets.probabilities", scores.probabilities.data(), count)};
        if (!scores.d_b.empty())
            named.push_back(score("jets.D_b", scores.d_b.data(), count));
        add(count, named);
    }
    /** Appends the scores of the next `count` jets by output; see
     * gn2_score_writer_add_outputs(). */
    void add(int64_t count, const std::vector<gn2_score> &scores)
    {
        check(gn2_score_writer_add_outputs(c(), count, scores.data(), scores.size()));
    }
    /** Rows of an output for add(); both pointers are borrowed. */
    static gn2_score score(const char *output, const float *data, int64_t rows) noexcept
    {
        return score(output, data, GN2_DATA_F32, rows);
    }
    /** The same of an output of whole numbers. */
    static gn2_score score(const char *output, const int32_t *data,
                           int64_t rows) noexcept
    {
        return score(output, data, GN2_DATA_I32, rows);
    }
    /** Finishes and renames the file. */
    void close()
    {
        check(gn2_score_writer_close(c()));
    }
    /** The C object, still owned by this one. */
    gn2_score_writer *c() const noexcept
    {
        return handle_.get();
    }

  private:
    static gn2_score score(const char *output, const void *data, int32_t type,
                           int64_t rows) noexcept
    {
        gn2_score score = detail::sized<gn2_score>();
        score.output = output;
        score.data = data;
        score.type = type;
        score.rows = rows;
        return score;
    }
    detail::Handle<gn2_score_writer, gn2_score_writer_free> handle_;
};

/** Trains a model; see gn2_trainer. */
class Trainer
{
  public:
    /** Called after steps and epochs; returns true to go on, false to stop. */
    using Progress = std::function<bool(const gn2_progress &)>;

    /** Starts from the weights of `model`, which stays as it is. */
    Trainer(const Model &model, const Config &config)
    {
        gn2_trainer *trainer = nullptr;
        check(gn2_trainer_create(model.c(), config.c(), &trainer));
        handle_.reset(trainer);
    }
    /** One optimiser step on a batch. */
    gn2_step_stats step(const gn2_jets &jets, const gn2_labels &labels)
    {
        gn2_step_stats stats = detail::sized<gn2_step_stats>();
        check(gn2_trainer_step(c(), &jets, &labels, &stats));
        return stats;
    }
    /**
     * Trains for `train.epochs` epochs; `val` may be NULL. What `progress` throws
     * stops the run and comes out here. @return false when stopped on request.
     */
    bool fit(Dataset &train, Dataset *val = nullptr, Progress progress = nullptr)
    {
        Call call{std::move(progress), nullptr};
        const gn2_status status =
            gn2_trainer_fit(c(), train.c(), val ? val->c() : nullptr,
                            call.progress ? &Call::run : nullptr, &call);
        if (call.thrown) std::rethrow_exception(call.thrown);
        if (status == GN2_ERR_CANCELLED) return false;
        check(status);
        return true;
    }
    /** Losses and metrics of the present weights. */
    gn2_metrics evaluate(Dataset &dataset)
    {
        gn2_metrics metrics = detail::sized<gn2_metrics>();
        check(gn2_trainer_evaluate(c(), dataset.c(), &metrics));
        return metrics;
    }
    /** Writes a checkpoint, atomically. */
    void checkpoint_save(const std::string &path) const
    {
        check(gn2_trainer_checkpoint_save(c(), path.c_str()));
    }
    /** Goes back to a checkpoint. */
    void checkpoint_load(const std::string &path)
    {
        check(gn2_trainer_checkpoint_load(c(), path.c_str()));
    }
    /** A model with the present weights. */
    Model snapshot() const
    {
        gn2_model *model = nullptr;
        check(gn2_trainer_snapshot(c(), &model));
        return Model(model);
    }
    /** Asks fit() to stop after the step under way; any thread may. */
    void request_stop() noexcept
    {
        gn2_trainer_request_stop(c());
    }
    /** The C object, still owned by this one. */
    gn2_trainer *c() const noexcept
    {
        return handle_.get();
    }

  private:
    /* No exception may pass through the library: it is kept until fit() is back. */
    struct Call {
        Progress progress;
        std::exception_ptr thrown;
        static int32_t run(void *user, const gn2_progress *now) noexcept
        {
            Call *call = static_cast<Call *>(user);
            try {
                return call->progress(*now) ? 0 : 1;
            } catch (...) {
                call->thrown = std::current_exception();
                return 1;
            }
        }
    };
    detail::Handle<gn2_trainer, gn2_trainer_free> handle_;
};

} // namespace gn2
#endif
