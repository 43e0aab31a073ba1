/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file jets.hpp
 * @brief C++17: jets in the caller's arrays, with their sizes.
 * See gn2.hpp.
 */
#ifndef GN2_JETS_HPP
#define GN2_JETS_HPP

#include <gn2/config.hpp>
#include <gn2/tagger.h>

namespace gn2
{

/** @cond internal */
namespace detail
{
/* Views may be temporaries, what owns its elements may not. */
template <class C, class = void> struct is_view : std::false_type {
};
template <class C>
struct is_view<C, std::void_t<typename C::element_type>>
    : std::is_trivially_copyable<C> {
};
} // namespace detail
/** @endcond */

/** A Span that is kept beyond the call: it is not made from a temporary container. */
template <class T> class Lasting : public Span<T>
{
    template <class C>
    static constexpr bool dies =
        !std::is_lvalue_reference_v<C> && !detail::is_view<std::decay_t<C>>::value;
    template <class C>
    using Fits = std::enable_if_t<
        std::is_convertible_v<decltype(std::declval<C &>().data()), T *>>;

  public:
    /** Of a container that lives on, or another view. */
    template <class C, class = Fits<C>, std::enable_if_t<!dies<C>, int> = 0>
    constexpr Lasting(C &&container) noexcept
        : Span<T>(container.data(), container.size())
    {
    }
    /** The elements would be gone when they are needed. */
    template <class C, class = Fits<C>, std::enable_if_t<dies<C>, int> = 0>
    Lasting(C &&container) = delete;
};

/**
 * The jets of a call: views of the caller's arrays, which must outlive the call.
 * Constituent types are added in the order of `model.constituents`. Sizes are checked
 * here, and against the columns of a model by gn2::Tagger; std::invalid_argument.
 */
class Jets
{
  public:
    /** `count` jets; `features` (count, jet variables), rows `stride` floats apart,
     * 0 = packed. */
    Jets(std::size_t count, Lasting<const float> features, std::size_t stride = 0)
        : count_(static_cast<int64_t>(count)), features_(features)
    {
        stride_ = static_cast<int64_t>(stride);
        if (stride == 0 && count > 0 && features.size() % count != 0)
            throw std::invalid_argument("gn2::Jets: features must have count rows");
    }
    /** Adds a type in ragged form: rows of all jets, `offsets` (count + 1). */
    Jets &add_ragged(Lasting<const float> data, Lasting<const int64_t> offsets,
                     std::size_t stride = 0)
    {
        if (offsets.size() != count() + 1)
            throw std::invalid_argument("gn2::Jets: offsets must have count + 1 items");
        gn2_sequence sequence = detail::sized<gn2_sequence>();
        sequence.offsets = offsets.data();
        return add(sequence, data, stride);
    }
    /** Adds a type in padded form: `slots` rows a jet, `valid` (count, slots). */
    Jets &add_padded(Lasting<const float> data, std::size_t slots,
                     Lasting<const uint8_t> valid, std::size_t stride = 0)
    {
        if (valid.size() != count() * slots)
            throw std::invalid_argument(
                "gn2::Jets: valid must have count * slots items");
        gn2_sequence sequence = detail::sized<gn2_sequence>();
        sequence.slots = static_cast<int64_t>(slots);
        sequence.valid = valid.data();
        return add(sequence, data, stride);
    }
    /** Number of jets. */
    std::size_t count() const noexcept
    {
        return static_cast<std::size_t>(count_);
    }
    /** Constituent rows of a type: N, or count * slots when padded. */
    std::size_t rows(std::size_t sequence) const
    {
        const gn2_sequence &s = sequences_.at(sequence);
        return static_cast<std::size_t>(s.offsets ? s.offsets[count_]
                                                  : count_ * s.slots);
    }
    /** Ordered pairs of valid constituents i != j of a type. */
    std::size_t pairs(std::size_t sequence) const
    {
        std::size_t sum = 0;
        for (std::size_t jet = 0; jet < count(); jet++) {
            const std::size_t n = valid_rows(sequences_.at(sequence), jet);
            if (n > 0) sum += n * (n - 1);
        }
        return sum;
    }
    /** Throws unless the arrays hold rows of so many columns: of the jets, then of each
     * type. gn2::Tagger calls it. */
    void check(Span<const std::size_t> columns) const
    {
        if (columns.size() != sequences_.size() + 1)
            throw std::invalid_argument(
                "gn2::Jets: " + std::to_string(sequences_.size()) +
                " constituent types, the model has " +
                std::to_string(columns.size() - 1));
        check_size("features", features_.size(), count(), stride_, columns.data()[0]);
        for (std::size_t i = 0; i < sequences_.size(); i++)
            check_size("data of a type", sizes_[i], rows(i), sequences_[i].row_stride,
                       columns.data()[i + 1]);
    }
    /** The C struct, valid while this object is neither changed nor moved. */
    gn2_jets c() const noexcept
    {
        gn2_jets jets = detail::sized<gn2_jets>();
        jets.count = count_;
        jets.features = features_.data();
        jets.row_stride = stride_;
        jets.sequences = sequences_.data();
        jets.sequence_count = static_cast<uint32_t>(sequences_.size());
        jets.sequence_stride = sizeof(gn2_sequence);
        return jets;
    }

  private:
    Jets &add(gn2_sequence sequence, Span<const float> data, std::size_t stride)
    {
        sequence.data = data.data();
        sequence.row_stride = static_cast<int64_t>(stride);
        sequences_.push_back(sequence);
        sizes_.push_back(data.size());
        return *this;
    }
    std::size_t valid_rows(const gn2_sequence &s, std::size_t jet) const noexcept
    {
        if (s.offsets)
            return static_cast<std::size_t>(s.offsets[jet + 1] - s.offsets[jet]);
        const std::size_t slots = static_cast<std::size_t>(s.slots);
        std::size_t n = 0;
        for (std::size_t i = jet * slots; i < (jet + 1) * slots; i++)
            n += s.valid[i] != 0;
        return n;
    }
    static void check_size(const char *what, std::size_t size, std::size_t rows,
                           int64_t stride, std::size_t columns)
    {
        const std::size_t step = stride ? static_cast<std::size_t>(stride) : columns;
        if (rows == 0 || columns == 0) return;
        if (size >= columns && (step == 0 || rows - 1 <= (size - columns) / step))
            return;
        throw std::invalid_argument(std::string("gn2::Jets: ") + what + " has " +
                                    std::to_string(size) + " floats, " +
                                    std::to_string(rows) + " rows of " +
                                    std::to_string(columns) + " columns are more");
    }
    int64_t count_, stride_ = 0;
    Span<const float> features_;
    std::vector<gn2_sequence> sequences_;
    std::vector<std::size_t> sizes_; /* floats of each type's data */
};

} // namespace gn2
#endif
