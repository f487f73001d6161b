// Fibres, and the checks of what they touch.
#include "emulation.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>

#include "context.h"
#include "counts.h"

namespace emulation {
namespace {

// ---- state of the host thread's one running grid --------------------------------------------------------------------

struct Fibre {
  Context context;
  Dim3 index;
  bool done = false;
  int site = 0;
  unsigned lanes = 0;  // of the shuffle that it waits at
  int from = 0;
  std::uint64_t given = 0, taken = 0;
};

// What is known of two bytes of shared memory.
struct Cell {
  std::uint32_t written_at = 0, read_at = 0;  // intervals between barriers, never used twice
  std::int16_t writer = 0, reader = 0;        // reader: kMany if there were several
};
constexpr std::int16_t kMany = -1;

struct State {
  Dim3 grid, block, block_index;
  std::vector<Fibre> fibres;
  unsigned char* stacks = nullptr;
  std::size_t stack_count = 0;
  Context scheduler;
  int running = -1;
  const std::function<void()>* kernel = nullptr;

  std::vector<unsigned char> shared;
  std::vector<Cell> cells;
  std::uint32_t interval = 0, block_start = 0;

  std::string finding;
  bool counting = false;
  std::vector<std::vector<Access>> accesses;  // of each thread since the last barrier, while counting
  Counts counts;
  std::uint32_t turn = 0;

  ~State() {
    if (stacks != nullptr) munmap(stacks, stack_count * kStack);
  }
};

State& first_state() {
  static thread_local State value;
  return value;
}

// Every access asks: past the first time, that costs it no call.
State& state() {
  static thread_local State* own __attribute__((tls_model("initial-exec"))) = nullptr;
  if (own == nullptr) own = &first_state();
  return *own;
}

std::map<const unsigned char*, std::size_t>& registered() {
  static std::map<const unsigned char*, std::size_t> value;
  return value;
}

void find(const std::string& what, int site) {
  State& s = state();
  if (!s.finding.empty()) return;
  const auto number = [](unsigned i) { return std::to_string(i); };
  s.finding = what + ", at line " + std::to_string(site) + ", block (" + number(s.block_index.x) + ", " +
              number(s.block_index.y) + ", " + number(s.block_index.z) + "), thread " + std::to_string(s.running);
}

void run_fibre() {
  State& s = state();
  (*s.kernel)();
  Fibre& fibre = s.fibres[s.running];
  fibre.done = true;
  switch_to(fibre.context, s.scheduler);
  std::abort();
}

void note(Kind kind, const void* at, int bytes, int site) {
  State& s = state();
  if (s.counting) s.accesses[s.running].push_back({kind, site, bytes, reinterpret_cast<std::uintptr_t>(at)});
}

// ---- blocks ---------------------------------------------------------------------------------------------------------

void run(State& s, int thread) {
  s.running = thread;
  switch_to(s.scheduler, s.fibres[thread].context);
}

// Whether all lanes that a waiting thread's shuffle names are there.
bool complete(const State& s, int thread) {
  const Fibre& own = s.fibres[thread];
  for (int lane = 0; lane < 32; ++lane) {
    if ((own.lanes >> lane & 1) == 0) continue;
    const std::size_t other = thread / 32 * 32 + lane;
    if (other >= s.fibres.size() || s.fibres[other].lanes != own.lanes || s.fibres[other].site != own.site)
      return false;
  }
  return true;
}

// Lets threads that wait at shuffles go on until all are at a barrier, or at their end.
void run_shuffles(State& s) {
  const int threads = static_cast<int>(s.fibres.size());
  for (bool waiting = true; waiting;) {
    waiting = false;
    bool progress = false;
    for (int i = 0; i < threads; ++i) {
      if (s.fibres[i].lanes == 0) continue;
      waiting = true;
      if (!complete(s, i)) continue;
      progress = true;
      const int warp = i / 32 * 32;
      const unsigned lanes = s.fibres[i].lanes;
      for (int lane = 0; lane < 32; ++lane) {
        if ((lanes >> lane & 1) == 0) continue;
        Fibre& fibre = s.fibres[warp + lane];
        fibre.taken = s.fibres[warp + fibre.from].given;
        fibre.lanes = 0;
      }
      for (int lane = 0; lane < 32; ++lane) {
        if (lanes >> lane & 1) run(s, warp + lane);
      }
    }
    if (waiting && !progress) {
      for (int i = 0; i < threads; ++i) {
        if (s.fibres[i].lanes == 0) continue;
        s.running = i;
        find("not all lanes of a shuffle come to it", s.fibres[i].site);
      }
      return;
    }
  }
}

void run_block(State& s) {
  const int threads = static_cast<int>(s.fibres.size());
  s.block_start = ++s.interval;
  std::fill(s.shared.begin(), s.shared.end(), 0xff);  // NaN
  for (int i = 0; i < threads; ++i) {
    Fibre& fibre = s.fibres[i];
    fibre.done = false;
    fibre.lanes = 0;
    fibre.index = Dim3(i);
    prepare(fibre.context, s.stacks + i * kStack, run_fibre);
  }
  for (;;) {
    int done = 0, site = -1;
    // A start and a step without a factor in common with the number of threads: every order of this kind comes up.
    s.turn = s.turn * 1664525u + 1013904223u;
    int step = static_cast<int>(s.turn >> 16) % threads + 1;
    while (std::__gcd(step, threads) != 1) ++step;
    int i = static_cast<int>(s.turn >> 8) % threads;
    for (int count = 0; count < threads; ++count, i = (i + step) % threads) {
      run(s, i);
    }
    run_shuffles(s);
    for (i = 0; i < threads; ++i) {
      const Fibre& fibre = s.fibres[i];
      s.running = i;
      if (fibre.done) {
        ++done;
      } else if (site < 0) {
        site = fibre.site;
      } else if (site != fibre.site) {
        find("threads wait at different barriers", fibre.site);
      }
    }
    if (s.counting) {
      count_interval(s.accesses, s.counts);
      for (std::vector<Access>& own : s.accesses) own.clear();
    }
    ++s.interval;
    if (done == threads) return;
    s.counts.barriers += 1;
    if (done > 0) {
      find("some threads have ended, others wait at a barrier", site);
      return;
    }
    if (!s.finding.empty()) return;
  }
}

}  // namespace

Dim3 thread_index() { return state().fibres[state().running].index; }
Dim3 block_index() { return state().block_index; }
Dim3 block_size() { return state().block; }
Dim3 grid_size() { return state().grid; }

Limits& limits() {
  static Limits value;
  return value;
}

void launch(Dim3 grid, int threads, int shared_bytes, const std::function<void()>& kernel) {
  State& s = state();
  if (threads < 1 || threads > 1024) throw std::runtime_error("emulation: a block has 1 to 1024 threads");
  if (grid.x < 1 || grid.y < 1 || grid.z < 1 || grid.y > 65535 || grid.z > 65535) {
    throw std::runtime_error("emulation: a grid has at least one block, and at most 65535 along y and z");
  }
  if (shared_bytes > limits().shared_bytes) throw std::runtime_error("emulation: too much shared memory");
  if (s.stack_count < static_cast<std::size_t>(threads)) {
    if (s.stacks != nullptr) munmap(s.stacks, s.stack_count * kStack);
    void* const memory =
        mmap(nullptr, threads * kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) throw std::runtime_error("emulation: no memory for stacks");
    s.stacks = static_cast<unsigned char*>(memory);
    s.stack_count = threads;
  }
  s.grid = grid;
  s.block = Dim3(threads);
  s.kernel = &kernel;
  s.fibres.resize(threads);
  s.accesses.resize(threads);
  s.shared.resize(shared_bytes);
  s.cells.resize((shared_bytes + 1) / 2);
  s.finding.clear();
  for (unsigned z = 0; z < grid.z; ++z) {
    for (unsigned y = 0; y < grid.y; ++y) {
      for (unsigned x = 0; x < grid.x; ++x) {
        s.block_index = Dim3(x, y, z);
        run_block(s);
        if (!s.finding.empty()) throw std::runtime_error("emulation: " + s.finding);
      }
    }
  }
}

void barrier(int site) {
  State& s = state();
  Fibre& fibre = s.fibres[s.running];
  fibre.site = site;
  switch_to(fibre.context, s.scheduler);
}

std::uint64_t shuffle(unsigned mask, std::uint64_t value, int from, int site) {
  State& s = state();
  Fibre& fibre = s.fibres[s.running];
  if ((mask >> s.running % 32 & mask >> from & 1) == 0) {
    find("a shuffle without one of its lanes in the mask", site);
    return value;
  }
  fibre.site = site;
  fibre.lanes = mask;
  fibre.from = from;
  fibre.given = value;
  switch_to(fibre.context, s.scheduler);
  return fibre.taken;
}

unsigned char* shared_memory() { return state().shared.data(); }

// ---- checks ---------------------------------------------------------------------------------------------------------

namespace {

bool is_registered(const void* at, int bytes) {
  const auto& ranges = registered();
  if (ranges.empty()) return true;
  const auto* const begin = static_cast<const unsigned char*>(at);
  auto range = ranges.upper_bound(begin);
  if (range == ranges.begin()) return false;
  --range;
  return begin + bytes <= range->first + range->second;
}

bool is_shared(const void* at, int bytes) {
  const State& s = state();
  const auto* const begin = static_cast<const unsigned char*>(at);
  return begin >= s.shared.data() && begin + bytes <= s.shared.data() + s.shared.size();
}

bool aligned(const void* at, int bytes) { return reinterpret_cast<std::uintptr_t>(at) % bytes == 0; }

template <class F>
void each_cell(const void* at, int bytes, F&& f) {
  State& s = state();
  const std::size_t offset = static_cast<const unsigned char*>(at) - s.shared.data();
  for (std::size_t cell = offset / 2; cell < (offset + bytes + 1) / 2; ++cell) f(s.cells[cell]);
}

}  // namespace

bool reads_global(const void* at, int bytes, int site) {
  note(Kind::read_global, at, bytes, site);
  if (!aligned(at, bytes)) find("misaligned read of global memory", site);
  if (is_registered(at, bytes)) return true;
  find("read outside global memory", site);
  return false;
}

bool writes_global(void* at, int bytes, int site) {
  note(Kind::write_global, at, bytes, site);
  if (!aligned(at, bytes)) find("misaligned write of global memory", site);
  if (is_registered(at, bytes)) return true;
  find("write outside global memory", site);
  return false;
}

bool reads_shared(const void* at, int bytes, int site) {
  if (!is_shared(at, bytes) || !aligned(at, bytes)) {
    find("read outside shared memory, or misaligned", site);
    return false;
  }
  note(Kind::read_shared, at, bytes, site);
  State& s = state();
  const auto me = static_cast<std::int16_t>(s.running);
  each_cell(at, bytes, [&](Cell& cell) {
    if (cell.written_at < s.block_start) find("read of shared memory that nobody has written", site);
    if (cell.written_at == s.interval && cell.writer != me) find("race: read after another thread's write", site);
    cell.reader = cell.read_at == s.interval && cell.reader != me ? kMany : me;
    cell.read_at = s.interval;
  });
  return true;
}

bool writes_shared(void* at, int bytes, int site) {
  if (!is_shared(at, bytes) || !aligned(at, bytes)) {
    find("write outside shared memory, or misaligned", site);
    return false;
  }
  note(Kind::write_shared, at, bytes, site);
  State& s = state();
  const auto me = static_cast<std::int16_t>(s.running);
  each_cell(at, bytes, [&](Cell& cell) {
    if (cell.written_at == s.interval && cell.writer != me) find("race: write after another thread's write", site);
    if (cell.read_at == s.interval && cell.reader != me) find("race: write after another thread's read", site);
    cell.writer = me;
    cell.written_at = s.interval;
  });
  return true;
}

Registered::Registered(const void* begin, std::size_t bytes) : begin_(static_cast<const unsigned char*>(begin)) {
  registered()[begin_] = bytes;
}
Registered::~Registered() { registered().erase(begin_); }

void start_counting() {
  state().counting = true;
  state().counts = {};
}

Counts stop_counting() {
  state().counting = false;
  return state().counts;
}

}  // namespace emulation
