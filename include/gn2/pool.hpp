/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file pool.hpp
 * @brief C++17: taggers for the tasks of a scheduler.
 * See gn2.hpp.
 */
#ifndef GN2_POOL_HPP
#define GN2_POOL_HPP

#include <gn2/tagger.hpp>

#include <mutex>

namespace gn2
{

/**
 * Taggers of one model for tasks that a scheduler (TBB, …) runs on any thread, also
 * one inside another on the same thread. A task takes a free tagger, or a new one if
 * there is none, and gives it back at the end of its scope; nobody waits.
 *
 * @code
 * gn2::TaggerPool pool(model);
 * tbb::parallel_for(0, events, [&](int i) {
 *     auto tagger = pool.take();
 *     scores[i] = tagger->flavour(jets_of(i));
 * });
 * @endcode
 *
 * There are never more taggers than tasks that held one at the same time.
 * @thread Safe. The pool must outlive what was taken from it.
 */
class TaggerPool
{
  public:
    /** Prepares a tagger that was just made, e.g. binds its columns. */
    using Setup = std::function<void(Tagger &)>;

    /** Of a model that may go afterwards; `setup` may be empty. */
    explicit TaggerPool(const Model &model, Setup setup = nullptr)
        : model_(model.share()), setup_(std::move(setup))
    {
    }
    /** With options, which may go afterwards. */
    TaggerPool(const Model &model, const Config &config, Setup setup = nullptr)
        : model_(model.share()), config_(std::make_unique<Config>(config.copy())),
          setup_(std::move(setup))
    {
    }

    /** A tagger for a task alone, until the end of this object's life. */
    class Lease
    {
      public:
        /** Takes over. */
        Lease(Lease &&) noexcept = default;
        /** Not twice the same tagger. */
        Lease &operator=(Lease &&) = delete;
        ~Lease()
        {
            if (tagger_) pool_->put(std::move(tagger_));
        }
        /** The tagger. */
        Tagger &operator*() const noexcept
        {
            return *tagger_;
        }
        /** The tagger. */
        Tagger *operator->() const noexcept
        {
            return tagger_.get();
        }

      private:
        friend class TaggerPool;
        Lease(TaggerPool *pool, std::unique_ptr<Tagger> tagger) noexcept
            : pool_(pool), tagger_(std::move(tagger))
        {
        }
        TaggerPool *pool_;
        std::unique_ptr<Tagger> tagger_;
    };

    /** A free tagger. */
    Lease take()
    {
        std::unique_ptr<Tagger> tagger = find();
        if (!tagger) tagger = make();
        return Lease(this, std::move(tagger));
    }
    /** Number of taggers made so far. */
    std::size_t size() const
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        return made_;
    }

  private:
    std::unique_ptr<Tagger> find()
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (free_.empty()) return nullptr;
        std::unique_ptr<Tagger> tagger = std::move(free_.back());
        free_.pop_back();
        return tagger;
    }
    std::unique_ptr<Tagger> make()
    {
        auto tagger = config_ ? std::make_unique<Tagger>(model_, *config_)
                              : std::make_unique<Tagger>(model_);
        if (setup_) setup_(*tagger);
        const std::lock_guard<std::mutex> lock(mutex_);
        free_.reserve(made_ + 1); /* so that put() cannot fail */
        made_++;
        return tagger;
    }
    void put(std::unique_ptr<Tagger> tagger) noexcept
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        free_.push_back(std::move(tagger));
    }
    Model model_;
    std::unique_ptr<Config> config_;
    Setup setup_;
    mutable std::mutex mutex_;
    std::vector<std::unique_ptr<Tagger>> free_;
    std::size_t made_ = 0;
};

} // namespace gn2
#endif
