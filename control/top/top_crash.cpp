#include "control/top/top_crash.h"

#include <ncurses.h>
#include <signal.h>
#include <termios.h>
#include <unistd.h>
// Behind ncurses.h, which it needs.
#include <term.h>

#include <array>
#include <cstddef>
#include <cstdint>

namespace sallyport {
namespace {

// What a crash leaves the terminal with. Prepared before, because a handler may only write().
termios saved_modes;
std::array<char, 128> leave_text;
size_t leave_length = 0;

void add_leave_text(const char* capability) {
  if (capability == nullptr) return;
  // Without "$<5>": the times that old terminals wanted to be given.
  for (const char* at = capability; *at != '\0' && leave_length < leave_text.size(); ++at) {
    if (at[0] == '$' && at[1] == '<') {
      while (*at != '\0' && *at != '>') ++at;
      if (*at == '\0') return;
      continue;
    }
    leave_text[leave_length++] = *at;
  }
}

void restore_and_die(int signal_number) {
  static_cast<void>(::write(STDOUT_FILENO, leave_text.data(), leave_length));
  ::tcsetattr(STDIN_FILENO, TCSANOW, &saved_modes);
  ::raise(signal_number);  // SA_RESETHAND: this time it ends the process
}

}  // namespace

void remember_terminal_modes() {
  ::tcgetattr(STDIN_FILENO, &saved_modes);
}

void restore_terminal_on_crash() {
  leave_length = 0;
  for (const char* name : {"sgr0", "cnorm", "rmkx", "rmcup"}) {
    const char* text = ::tigetstr(name);
    add_leave_text(reinterpret_cast<intptr_t>(text) == -1 ? nullptr : text);
  }
  struct sigaction action{};
  action.sa_handler = restore_and_die;
  action.sa_flags = static_cast<int>(SA_RESETHAND | SA_NODEFER);
  for (const int number : {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL}) {
    ::sigaction(number, &action, nullptr);
  }
}

}  // namespace sallyport
