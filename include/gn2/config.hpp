/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file config.hpp
 * @brief C++17: errors, views and options.
 * See gn2.hpp.
 */
#ifndef GN2_CONFIG_HPP
#define GN2_CONFIG_HPP

#if __cplusplus < 201703L
#error "gn2.hpp needs C++17"
#endif

#include <gn2/config.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

namespace gn2
{

/** A failed call: its status and the library's message. */
class Error : public std::runtime_error
{
  public:
    /** Takes the message of the call that just failed on this thread. */
    explicit Error(gn2_status status)
        : std::runtime_error(gn2_last_error()), status_(status),
          of_network_(status == GN2_ERR_NUMERIC && gn2_last_error_of_network())
    {
    }
    /** Which failure, one of GN2_ERR_*. */
    gn2_status status() const noexcept
    {
        return status_;
    }
    /** The same as a word, e.g. "GN2_ERR_SHAPE". */
    const char *name() const noexcept
    {
        return gn2_status_name(status_);
    }
    /** Is it the network that is not finite, and not what it was given? See
     * gn2_last_error_of_network(). */
    bool of_network() const noexcept
    {
        return of_network_;
    }

  private:
    gn2_status status_;
    bool of_network_;
};

/** Throws gn2::Error unless `status` is GN2_OK. */
inline void check(gn2_status status)
{
    if (status != GN2_OK) throw Error(status);
}

/** A view of contiguous elements: pointer and count, made from any container. */
template <class T> class Span
{
  public:
    /** What it views. */
    using element_type = T;
    /** Nothing. */
    constexpr Span() noexcept = default;
    /** `size` elements from `data` on. */
    constexpr Span(T *data, std::size_t size) noexcept : data_(data), size_(size)
    {
    }
    /** All of a vector, array, string … that has data() and size(). */
    template <class Container, class = std::enable_if_t<std::is_convertible_v<
                                   decltype(std::declval<Container &>().data()), T *>>>
    constexpr Span(Container &&container) noexcept
        : data_(container.data()), size_(container.size())
    {
    }
    /** First element. */
    constexpr T *data() const noexcept
    {
        return data_;
    }
    /** Number of elements. */
    constexpr std::size_t size() const noexcept
    {
        return size_;
    }

  private:
    T *data_ = nullptr;
    std::size_t size_ = 0;
};

/** @cond internal */
namespace detail
{
/* An opaque C object and the one function that frees it. */
template <class T, void (*free)(T *)> struct Freer {
    void operator()(T *object) const noexcept
    {
        free(object);
    }
};
template <class T, void (*free)(T *)> using Handle = std::unique_ptr<T, Freer<T, free>>;

/* The headers and the library at hand must be of one interface. */
inline void check_abi()
{
    if (gn2_abi_version() == GN2_ABI_VERSION) return;
    throw std::runtime_error(
        "libgn2 has binary interface " + std::to_string(gn2_abi_version()) +
        ", this program was compiled for " + std::to_string(GN2_ABI_VERSION));
}

template <class T> T sized()
{
    T value{};
    value.struct_size = sizeof(T);
    return value;
}

inline std::vector<const char *> pointers(const std::vector<std::string> &texts)
{
    std::vector<const char *> result;
    for (const std::string &text : texts) result.push_back(text.c_str());
    return result;
}
} // namespace detail
/** @endcond */

/** Version of the library in use; ::GN2_VERSION_STRING is that of the header. */
inline std::string version()
{
    return gn2_version();
}

/** What build and machine offer; see gn2_features(). */
inline std::string features()
{
    return gn2_features();
}

/** Options by name; see gn2_config. */
class Config
{
  public:
    /** Every key at its default. */
    Config()
    {
        detail::check_abi();
        gn2_config *config = nullptr;
        check(gn2_config_create(&config));
        handle_.reset(config);
    }
    /** Another config with the same values. */
    Config copy() const
    {
        gn2_config *config = nullptr;
        check(gn2_config_copy(c(), &config));
        return Config(config);
    }
    /** Sets an integer or real-valued key, or, from a bool, a key of "yes" and "no";
     * returns *this, so that calls can be chained. */
    template <class Integer>
    std::enable_if_t<std::is_integral_v<Integer>, Config &> set(const std::string &key,
                                                                Integer value)
    {
        if constexpr (std::is_same_v<Integer, bool>)
            return set(key, value ? "yes" : "no");
        else if (is_real(key))
            return set(key, static_cast<double>(value));
        check(gn2_config_set_i64(c(), key.c_str(), static_cast<int64_t>(value)));
        return *this;
    }
    /** Sets a real-valued key. */
    Config &set(const std::string &key, double value)
    {
        check(gn2_config_set_f64(c(), key.c_str(), value));
        return *this;
    }
    /** Sets a string key. */
    Config &set(const std::string &key, const std::string &value)
    {
        check(gn2_config_set_str(c(), key.c_str(), value.c_str()));
        return *this;
    }
    /** Sets a string key. */
    Config &set(const std::string &key, const char *value)
    {
        check(gn2_config_set_str(c(), key.c_str(), value));
        return *this;
    }
    /** Sets a list of strings. */
    Config &set(const std::string &key, const std::vector<std::string> &items)
    {
        const auto texts = detail::pointers(items);
        check(gn2_config_set_list(c(), key.c_str(), texts.data(), texts.size()));
        return *this;
    }
    /** Sets a list of numbers. */
    Config &set(const std::string &key, const std::vector<double> &items)
    {
        check(gn2_config_set_f64_list(c(), key.c_str(), items.data(), items.size()));
        return *this;
    }
    /** Sets a key of any type from text; see gn2_config_set_text(). */
    Config &set_text(const std::string &key, const std::string &text)
    {
        check(gn2_config_set_text(c(), key.c_str(), text.c_str()));
        return *this;
    }
    /** Value of an integer key. */
    int64_t get_i64(const std::string &key) const
    {
        int64_t value = 0;
        check(gn2_config_get_i64(c(), key.c_str(), &value));
        return value;
    }
    /** Value of a real-valued key. */
    double get_f64(const std::string &key) const
    {
        double value = 0;
        check(gn2_config_get_f64(c(), key.c_str(), &value));
        return value;
    }
    /** Value of a string key. */
    std::string get_str(const std::string &key) const
    {
        const char *value = nullptr;
        check(gn2_config_get_str(c(), key.c_str(), &value));
        return value;
    }
    /** Items of a string list. */
    std::vector<std::string> get_list(const std::string &key) const
    {
        std::vector<std::string> items(count(key));
        for (std::size_t i = 0; i < items.size(); i++) {
            const char *item = nullptr;
            check(gn2_config_get_item(c(), key.c_str(), i, &item));
            items[i] = item;
        }
        return items;
    }
    /** Items of a list of numbers. */
    std::vector<double> get_f64_list(const std::string &key) const
    {
        std::vector<double> items(count(key));
        check(gn2_config_get_f64_list(c(), key.c_str(), items.data(), items.size()));
        return items;
    }
    /** Reads `key = value` lines from a file. */
    Config &load(const std::string &path)
    {
        check(gn2_config_load(c(), path.c_str()));
        return *this;
    }
    /** The same from text in memory. */
    Config &load_text(const std::string &text)
    {
        check(gn2_config_load_buffer(c(), text.data(), text.size()));
        return *this;
    }
    /** Every key with its value, as lines of text. */
    std::string text() const
    {
        std::size_t size = 0;
        check(gn2_config_save_buffer(c(), nullptr, 0, &size));
        std::string text(size, ' ');
        check(gn2_config_save_buffer(c(), text.data(), text.size(), &size));
        return text;
    }
    /** Writes every key with its value. */
    void save(const std::string &path) const
    {
        check(gn2_config_save(c(), path.c_str()));
    }
    /** Takes over a C object. */
    explicit Config(gn2_config *config) noexcept : handle_(config)
    {
    }
    /** The C object, still owned by this one. */
    gn2_config *c() const noexcept
    {
        return handle_.get();
    }

  private:
    bool is_real(const std::string &key) const noexcept
    {
        double value = 0;
        return gn2_config_get_f64(c(), key.c_str(), &value) == GN2_OK;
    }
    std::size_t count(const std::string &key) const
    {
        std::size_t count = 0;
        check(gn2_config_get_count(c(), key.c_str(), &count));
        return count;
    }
    detail::Handle<gn2_config, gn2_config_free> handle_;
};

} // namespace gn2
#endif
