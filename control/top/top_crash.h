#pragma once

namespace sallyport {

/// Before ncurses changes them.
void remember_terminal_modes();

/// After ncurses knows the terminal: a process that crashes from now on leaves it as it was.
void restore_terminal_on_crash();

}  // namespace sallyport
