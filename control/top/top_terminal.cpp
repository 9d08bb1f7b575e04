#include "control/top/top_terminal.h"

// Macros of ncurses are words of ours: functions in their stead.
#define NCURSES_NOMACROS
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <ncurses.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>

#include "control/common/unique_fd.h"
#include "control/top/top_crash.h"
#include "control/top/top_model.h"
#include "control/top/top_view.h"

namespace sallyport {
namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr int kEscapeDelayMs = 25;  // Esc alone, or the begin of a key's sequence
/// There are no rates before the second sample: it comes soon.
constexpr Clock::duration kFirstInterval = 300ms;
constexpr short kGreenPair = 1;
constexpr short kRedPair = 2;

/// The terminal in ncurses' hands for as long as the object lives.
class Terminal {
 public:
  static std::expected<void, std::string> check() {
    if (::isatty(STDIN_FILENO) == 1 && ::isatty(STDOUT_FILENO) == 1) return {};
    return std::unexpected("sallyport top needs a terminal; for scripts there is --once");
  }

  Terminal() {
    remember_terminal_modes();
    // Not initscr(): that ends the process when it does not know the terminal.
    screen_ = ::newterm(nullptr, stdout, stdin);
    if (screen_ == nullptr) return;
    restore_terminal_on_crash();
    ::cbreak();
    ::noecho();
    ::curs_set(0);
    ::keypad(stdscr, TRUE);
    ::nodelay(stdscr, TRUE);
    ::set_escdelay(kEscapeDelayMs);
    colours_ = std::getenv("NO_COLOR") == nullptr && ::has_colors() && ::start_color() == OK &&
               ::use_default_colors() == OK;
    if (!colours_) return;
    ::init_pair(kGreenPair, COLOR_GREEN, -1);
    ::init_pair(kRedPair, COLOR_RED, -1);
  }
  ~Terminal() {
    if (screen_ == nullptr) return;
    ::endwin();
    ::delscreen(screen_);
  }
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  bool usable() const { return screen_ != nullptr; }

  void show(const Screen& screen) const {
    ::erase();
    for (size_t row = 0; row < screen.height(); ++row) {
      put(row, 0, screen.lines[row]);
    }
    for (const ScreenStretch& one : screen.stretches) {
      const attr_t attributes = attributes_of(one.emphasis);
      ::attron(static_cast<int>(attributes));
      put(one.row, one.column,
          std::string_view(screen.lines[one.row]).substr(one.column, one.length));
      ::attroff(static_cast<int>(attributes));
    }
    ::refresh();
  }

 private:
  static void put(size_t row, size_t column, std::string_view text) {
    ::mvaddnstr(static_cast<int>(row), static_cast<int>(column), text.data(),
                static_cast<int>(text.size()));
  }

  attr_t attributes_of(Emphasis emphasis) const {
    const auto colour = [this](short pair) {
      return colours_ ? static_cast<attr_t>(COLOR_PAIR(pair)) : attr_t{0};
    };
    switch (emphasis) {
      case Emphasis::none:
        return A_NORMAL;
      case Emphasis::title:
        return A_BOLD;
      case Emphasis::good:
        return A_BOLD | colour(kGreenPair);
      case Emphasis::alarm:
        return A_BOLD | colour(kRedPair);
      case Emphasis::selected:
        return A_REVERSE;
      case Emphasis::quiet:
        return A_DIM;
    }
    return A_NORMAL;
  }

  SCREEN* screen_ = nullptr;
  bool colours_ = false;
};

TopKey key_of(int code) {
  switch (code) {
    case KEY_UP:
    case 'k':
      return TopKey::up;
    case KEY_DOWN:
    case 'j':
      return TopKey::down;
    case KEY_PPAGE:
      return TopKey::page_up;
    case KEY_NPAGE:
      return TopKey::page_down;
    case KEY_ENTER:
    case '\r':
    case '\n':
      return TopKey::enter;
    case KEY_BACKSPACE:
    case '\b':
    case 0x7f:
    case 0x1b:
      return TopKey::back;
    case '<':
    case KEY_LEFT:
      return TopKey::sort_left;
    case '>':
    case KEY_RIGHT:
      return TopKey::sort_right;
    case 'r':
      return TopKey::reverse;
    case ' ':
      return TopKey::pause;
    case 'u':
      return TopKey::rules;
    case '?':
    case 'h':
      return TopKey::help;
    case 'q':
    case 'Q':
      return TopKey::quit;
    default:
      return TopKey::other;
  }
}

sigset_t ending_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) sigaddset(&signals, number);
  return signals;
}

/// Ending signals are read from a file while the object lives, so that none comes in the midst of
/// a drawing.
class Signals {
 public:
  Signals() {
    const sigset_t signals = ending_signals();
    ::pthread_sigmask(SIG_BLOCK, &signals, &before_);
    fd_ = UniqueFd(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  }
  ~Signals() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

  int fd() const { return fd_.get(); }
  /// The number of one that came, or 0.
  int take() const {
    signalfd_siginfo info{};
    return ::read(fd_.get(), &info, sizeof info) == sizeof info ? static_cast<int>(info.ssi_signo)
                                                                : 0;
  }

 private:
  UniqueFd fd_;
  sigset_t before_{};
};

/// Waits for a key, a signal or the time. @return the signal's number, or 0. Sets `hung_up` when
/// nobody is there any more who could press a key.
int wait_until(Clock::time_point then, const Signals& signals, bool& hung_up) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(then - Clock::now());
  std::array<pollfd, 2> waiting{{{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0},
                                 {.fd = signals.fd(), .events = POLLIN, .revents = 0}}};
  // A resize ends it early: ncurses catches SIGWINCH and hands out a key.
  ::poll(waiting.data(), waiting.size(),
         static_cast<int>(std::clamp<int64_t>(left.count(), 0, 60'000)));
  hung_up = (waiting[0].revents & (POLLHUP | POLLERR | POLLNVAL)) != 0;
  return signals.take();
}

int watch(const Terminal& terminal, const Signals& signals, const std::filesystem::path& stats,
          TopView view) {
  const auto interval = std::chrono::duration_cast<Clock::duration>(
      std::chrono::duration<double>(view.interval_seconds));
  TopSampler sampler(stats);
  TopHistory history;
  TopModel model = history.add(sampler.sample());
  Clock::time_point next = Clock::now() + std::min(interval, kFirstInterval);
  while (!view.quit) {
    terminal.show(render_top(model, view, static_cast<size_t>(LINES), static_cast<size_t>(COLS)));
    bool hung_up = false;
    if (const int number = wait_until(next, signals, hung_up); number != 0) return number;
    if (hung_up) return SIGHUP;
    for (int code = ::getch(); code != ERR && !view.quit; code = ::getch()) {
      view = after_key(view, key_of(code), model);
    }
    if (Clock::now() < next) continue;
    if (!view.paused) model = history.add(sampler.sample());
    next = std::max(next + interval, Clock::now());
  }
  return 0;
}

}  // namespace

std::expected<int, std::string> run_top_terminal(const std::filesystem::path& stats,
                                                 double interval_seconds) {
  if (auto good = Terminal::check(); !good) return std::unexpected(good.error());
  const Signals signals;
  const Terminal terminal;
  if (!terminal.usable()) {
    const char* name = std::getenv("TERM");
    return std::unexpected("the terminal '" + std::string(name == nullptr ? "" : name) +
                           "' is not known here; set TERM, or use --once");
  }
  TopView view;
  view.interval_seconds = interval_seconds;
  return watch(terminal, signals, stats, view);
}

}  // namespace sallyport
