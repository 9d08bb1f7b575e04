#pragma once

#include <charconv>
#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>

namespace sallyport {

/// Appends one line of JSON to a text that its owner keeps and empties. What is written is
/// printable ASCII alone, whatever bytes a packet brought: everything else stands as \uXXXX, so
/// nothing can end the line, reach a terminal or look like another field. A byte that is part of no
/// well-formed UTF-8 character (Unicode 15, table 3-7) becomes U+FFFD.
class JsonLine {
 public:
  explicit JsonLine(std::string& out) noexcept : out_(out) {}

  void open() { begin('{'); }
  void open(std::string_view key) {
    put_key(key);
    begin('{');
  }
  void open_list(std::string_view key) {
    put_key(key);
    begin('[');
  }
  void close() { end('}'); }
  void close_list() { end(']'); }

  /// An element of a list.
  void item(std::string_view text) {
    comma();
    put_text(text);
  }
  void text(std::string_view key, std::string_view text) {
    put_key(key);
    put_text(text);
  }
  void text_if_any(std::string_view key, std::string_view value) {
    if (!value.empty()) text(key, value);
  }
  /// Text that is known to need no escaping: a word of ours, an address, a time.
  void word(std::string_view key, std::string_view word) {
    put_key(key);
    out_ += '"';
    out_ += word;
    out_ += '"';
  }
  void flag(std::string_view key, bool value) {
    put_key(key);
    out_ += value ? "true" : "false";
  }
  template <std::integral T>
  void number(std::string_view key, T value) {
    put_key(key);
    char digits[24];
    out_.append(digits, std::to_chars(digits, digits + sizeof digits, value).ptr);
  }

 private:
  void begin(char bracket) {
    out_ += bracket;
    first_ = true;
  }
  void end(char bracket) {
    out_ += bracket;
    first_ = false;
  }
  void comma() {
    if (!first_) out_ += ',';
    first_ = false;
  }
  void put_key(std::string_view key) {
    comma();
    out_ += '"';
    out_ += key;
    out_ += "\":";
  }
  void put_text(std::string_view text);

  std::string& out_;
  bool first_ = true;
};

}  // namespace sallyport
