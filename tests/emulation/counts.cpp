// Requests of warps, and the sectors and banks that they touch.
#include "counts.h"

#include <algorithm>
#include <tuple>

namespace emulation {
namespace {

std::size_t distinct(std::vector<std::uintptr_t>& values) {
  std::sort(values.begin(), values.end());
  return static_cast<std::size_t>(std::unique(values.begin(), values.end()) - values.begin());
}

constexpr std::uintptr_t kSector = 32;

void add_sectors(const Access& access, std::vector<std::uintptr_t>& sectors) {
  for (std::uintptr_t sector = access.at / kSector; sector * kSector < access.at + access.bytes; ++sector) {
    sectors.push_back(sector);
  }
}

// An access of one thread of a warp: the nth of its site.
struct Request {
  Kind kind;
  int site, nth, lane;
  const Access* access;

  [[nodiscard]] auto key() const { return std::tuple(kind, site, nth); }
};
using Requests = std::vector<Request>::const_iterator;

void count_global(Requests begin, Requests end, Counts& counts) {
  std::vector<std::uintptr_t> sectors, bytes;
  for (Requests it = begin; it != end; ++it) {
    add_sectors(*it->access, sectors);
    for (int i = 0; i < it->access->bytes; ++i) bytes.push_back(it->access->at + i);
  }
  counts.global_sectors += static_cast<double>(distinct(sectors));
  counts.global_ideal += static_cast<double>((distinct(bytes) + kSector - 1) / kSector);
}

// Banks are 4 bytes wide. Of 8-byte accesses a half-warp is served at a time, of 16-byte accesses a quarter.
void count_shared(Requests begin, Requests end, Counts& counts) {
  constexpr int kBanks = 32;
  const int lanes = 32 * 4 / std::max(4, begin->access->bytes);
  for (Requests it = begin; it != end;) {
    std::vector<std::uintptr_t> of_bank[kBanks];
    for (const int group = it->lane / lanes; it != end && it->lane / lanes == group; ++it) {
      for (int i = 0; i < it->access->bytes; i += 4) {
        const std::uintptr_t word = (it->access->at + i) / 4;
        of_bank[word % kBanks].push_back(word);
      }
    }
    std::size_t passes = 1;
    for (auto& words : of_bank) passes = std::max(passes, distinct(words));
    counts.shared_passes += static_cast<double>(passes);
    counts.shared_ideal += 1;
  }
}

}  // namespace

void count_interval(const std::vector<std::vector<Access>>& of_threads, Counts& counts) {
  std::vector<std::uintptr_t> sectors;
  for (std::size_t warp = 0; warp < of_threads.size(); warp += 32) {
    std::vector<Request> requests;
    const std::size_t end = std::min(warp + 32, of_threads.size());
    for (std::size_t thread = warp; thread < end; ++thread) {
      const auto first = static_cast<std::ptrdiff_t>(requests.size());
      for (const Access& access : of_threads[thread]) {
        requests.push_back({access.kind, access.site, 0, static_cast<int>(thread - warp), &access});
      }
      std::stable_sort(requests.begin() + first, requests.end(),
                       [](const Request& a, const Request& b) { return a.key() < b.key(); });
      for (std::size_t i = first + 1; i < requests.size(); ++i) {
        const Request& before = requests[i - 1];
        if (requests[i].kind == before.kind && requests[i].site == before.site) requests[i].nth = before.nth + 1;
      }
    }
    std::stable_sort(requests.begin(), requests.end(),  // their lanes stay in order
                     [](const Request& a, const Request& b) { return a.key() < b.key(); });
    for (Requests it = requests.begin(), next; it != requests.end(); it = next) {
      next = std::find_if(it, Requests(requests.end()), [&](const Request& other) { return other.key() != it->key(); });
      if (it->kind == Kind::read_shared || it->kind == Kind::write_shared) {
        count_shared(it, next, counts);
        continue;
      }
      for (Requests of = it; of != next; ++of) add_sectors(*of->access, sectors);
      count_global(it, next, counts);
    }
  }
  counts.global_bytes += static_cast<double>(kSector * distinct(sectors));
}

}  // namespace emulation
