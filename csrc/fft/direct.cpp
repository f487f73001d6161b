// Makes and keeps direct plans.
#include "direct.h"

#include <algorithm>
#include <cmath>
#include <list>
#include <map>
#include <numeric>
#include <tuple>
#include <vector>

#include "butterflies.h"
#include "decimation.h"
#include "made_once.h"
#include "plan.h"
#include "planning_lock.h"

namespace spectrans {
namespace {

// Of a table, and of all that nobody is using.
constexpr std::int64_t kMostBytes = std::int64_t{4} << 20, kKeptBytes = std::int64_t{64} << 20;
// Entries of the table, a sample, that take as long as a transform: as measured, between AVX2 and AVX-512.
struct Cost {
  double fixed, per_operation;  // of small radices: mostly memory
  double per_operation_large;   // of others
};
constexpr Cost kForward{7, 0.3, 0.8}, kInverse{10, 0.6, 0.85};
constexpr double kWide = 2;  // Rader's algorithm in double, for float: so many times as much

template <class T>
bool takes_less(std::int64_t n, std::int64_t modes, bool inverse) {
  const std::int64_t entries = 2 * modes * ((n - 1) / 2);
  if (entries * static_cast<std::int64_t>(sizeof(T)) > kMostBytes) return false;
  const Decimation<T>& transform = decimation<T>(n, modes, inverse);  // as modes.cpp has it
  const RealPlan<T>& part = *transform.part;
  const Cost& cost = inverse ? kInverse : kForward;
  const double samples = static_cast<double>(n);
  const double operations = static_cast<double>(transform.r) * plan_flops(part.n) / samples;
  double most = cost.fixed + cost.per_operation * operations;
  if (part.stages > 0) {
    const RealStage<T>& stage = part.stage[0];  // of the largest radix
    const bool wide = stage.wide != nullptr;
    const bool large = wide || stage.prime != nullptr || stage.direct != nullptr;
    if (large) most = cost.per_operation_large * operations * (wide ? kWide : 1);
  }
  return static_cast<double>(entries) < most * samples;
}

template <class T>
struct Owner {
  std::vector<T> forward, inverse, sign;
  std::vector<std::int32_t> slot, re, im;
  DirectPlan<T> plan;

  explicit Owner(std::int64_t n) : Owner(n, n / 2 + 1, true, true, 0) {}
  explicit Owner(const DirectKey& key) : Owner(key.n, key.modes, !key.inverse, key.inverse, key.norm) {}
  Owner(const Owner&) = delete;
  Owner& operator=(const Owner&) = delete;

  [[nodiscard]] std::int64_t bytes() const {
    return static_cast<std::int64_t>((forward.size() + inverse.size() + sign.size()) * sizeof(T) +
                                     (slot.size() + re.size() + im.size()) * sizeof(std::int32_t));
  }

 private:
  Owner(std::int64_t n, std::int64_t modes, bool there, bool back, int norm)
      : sign(modes, T(1)), slot(n), re(modes), im(modes) {
    const double length = static_cast<double>(n);
    std::vector<T> cos(n), sin(n);
    for (std::int64_t i = 0; i < n; ++i) {
      const trig::Point w = trig::unit_root(i, n);
      const auto scaled = [&](double value) {
        return static_cast<T>(norm == 0 ? value : norm == 1 ? value / std::sqrt(length) : value / length);
      };
      cos[i] = scaled(w.cos);
      sin[i] = scaled(w.sin);
    }
    const auto table = [&](std::int64_t rows, std::int64_t columns, bool twice) {
      std::vector<T> result;
      result.reserve(2 * rows * columns);
      for (std::int64_t first = 0; first < rows; first += kDirectRows) {
        for (std::int64_t column = 1; column <= columns; ++column) {
          for (std::int64_t row = first; row < std::min(first + kDirectRows, rows); ++row) {
            const T times = twice && 2 * column < n ? 2 : 1;
            result.push_back(times * cos[row * column % n]);
            result.push_back(times * sin[row * column % n]);
          }
        }
      }
      return result;
    };
    if (there) forward = table(modes, (n - 1) / 2, false);
    if (back) inverse = table(n / 2 + 1, modes - 1, true);
    std::iota(slot.begin(), slot.end(), 0);
    for (std::int64_t k = 0; k < modes; ++k) {
      re[k] = static_cast<std::int32_t>(n + 2 * k);
      im[k] = 2 * k % n == 0 ? -1 : re[k] + 1;
    }
    plan = {n,
            modes,
            n + 2 * modes,
            there ? forward.data() : nullptr,
            back ? inverse.data() : nullptr,
            slot.data(),
            re.data(),
            im.data(),
            sign.data()};
  }
};

template <class T>
struct Verdict {
  bool faster;
  Verdict(std::int64_t n, std::int64_t modes, bool inverse) : faster(takes_less<T>(n, modes, inverse)) {}
};

// Plans that are borrowed, the last ones first. Who asks holds the planning lock.
template <class T>
class Library {
 public:
  const DirectPlan<T>& borrow(const DirectKey& key) {
    const auto [known, is_new] = known_.try_emplace(order(key));
    if (is_new) {
      try {
        books_.emplace_front(key);
      } catch (...) {
        known_.erase(known);
        throw;
      }
      known->second = books_.begin();
      bytes_ += books_.front().owner.bytes();
    } else {
      books_.splice(books_.begin(), books_, known->second);
    }
    ++books_.front().readers;
    make_room();
    return books_.front().owner.plan;
  }

  void give_back(const DirectKey& key) { --known_.at(order(key))->readers; }

 private:
  struct Book {
    DirectKey key;
    Owner<T> owner;
    int readers = 0;
    explicit Book(const DirectKey& of) : key(of), owner(of) {}
  };
  using Books = std::list<Book>;
  using Order = std::tuple<std::int64_t, std::int64_t, bool, int>;

  static Order order(const DirectKey& key) { return {key.n, key.modes, key.inverse, key.norm}; }

  void make_room() {
    for (auto book = books_.end(); bytes_ > kKeptBytes && book != books_.begin();) {
      --book;
      if (book->readers > 0) continue;
      bytes_ -= book->owner.bytes();
      known_.erase(order(book->key));
      book = books_.erase(book);
    }
  }

  Books books_;
  std::map<Order, typename Books::iterator> known_;
  std::int64_t bytes_ = 0;
};

template <class T>
Library<T>& library() {
  static auto* const only = new Library<T>;  // outlives every thread
  return *only;
}

}  // namespace

template <class T>
const DirectPlan<T>& direct_plan(std::int64_t n) {
  return made_once<Owner<T>>(n).plan;
}

template <class T>
void with_direct_plan(const DirectKey& key, void (*use)(const DirectPlan<T>&, const void*), const void* context) {
  struct Loan {
    const DirectKey& key;
    const DirectPlan<T>& plan;
    explicit Loan(const DirectKey& of) : key(of), plan(borrow(of)) {}
    Loan(const Loan&) = delete;
    Loan& operator=(const Loan&) = delete;
    ~Loan() {
      const PlanningLock lock;
      library<T>().give_back(key);
    }
    static const DirectPlan<T>& borrow(const DirectKey& of) {
      const PlanningLock lock;
      return library<T>().borrow(of);
    }
  };
  const Loan loan(key);
  use(loan.plan, context);
}

template <class T>
bool is_direct_faster(std::int64_t n, std::int64_t modes, bool inverse) {
  return made_once<Verdict<T>>(n, modes, inverse).faster;
}

template SPECTRANS_API const DirectPlan<float>& direct_plan<float>(std::int64_t);
template SPECTRANS_API const DirectPlan<double>& direct_plan<double>(std::int64_t);
template SPECTRANS_API void with_direct_plan<float>(const DirectKey&, void (*)(const DirectPlan<float>&, const void*),
                                                    const void*);
template SPECTRANS_API void with_direct_plan<double>(const DirectKey&, void (*)(const DirectPlan<double>&, const void*),
                                                     const void*);
template SPECTRANS_API bool is_direct_faster<float>(std::int64_t, std::int64_t, bool);
template SPECTRANS_API bool is_direct_faster<double>(std::int64_t, std::int64_t, bool);

}  // namespace spectrans
