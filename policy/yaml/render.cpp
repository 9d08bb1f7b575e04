#include "policy/yaml/render.h"

#include <algorithm>
#include <map>

#include "policy/yaml/printable.h"

namespace sallyport {
namespace {

constexpr unsigned kTabCells = 4;
constexpr std::string_view kCut = "...";
/// What a look around a place may cost, however long its line is.
constexpr size_t kMaxBytesAround = 1024;

/// The text between two line feeds.
class Lines {
 public:
  explicit Lines(std::string_view text) : text_(text) {
    constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";  // The parser skips it, too.
    if (text_.starts_with(kByteOrderMark)) text_.remove_prefix(kByteOrderMark.size());
    starts_.push_back(0);
    for (size_t at = 0; (at = text_.find('\n', at)) != std::string_view::npos;) {
      starts_.push_back(++at);
    }
  }

  /// Line `number`, from 1, without its end; "" past the last.
  std::string_view line(unsigned number) const {
    if (number == 0 || number > starts_.size()) return {};
    const size_t start = starts_[number - 1];
    const size_t end = number < starts_.size() ? starts_[number] - 1 : text_.size();
    std::string_view line = text_.substr(start, end - start);
    if (line.ends_with('\r')) line.remove_suffix(1);
    return line;
  }

 private:
  std::string_view text_;
  std::vector<size_t> starts_;
};

bool is_continuation(char c) {
  return (static_cast<unsigned char>(c) & 0xc0U) == 0x80U;
}

/// The end of what starts at `at`: a quoted scalar, a plain one, or one character of punctuation.
size_t token_end(std::string_view line, size_t at) {
  if (at >= line.size()) return at;
  const char first = line[at];
  if (first == '"' || first == '\'') {
    for (size_t i = at + 1; i < line.size(); ++i) {
      if (first == '"' && line[i] == '\\') {
        ++i;
      } else if (line[i] == first) {
        return i + 1;
      }
    }
    return line.size();
  }
  if (std::string_view("[]{},").contains(first)) return at + 1;
  size_t end = at + 1;
  for (; end < line.size(); ++end) {
    const char c = line[end];
    const bool last = end + 1 == line.size();
    if (c == ',' || c == ']' || c == '}') break;
    if (c == ':' && (last || line[end + 1] == ' ')) break;
    if (c == ' ' && (last || line[end + 1] == '#' || first == '-')) break;
  }
  while (end > at + 1 && line[end - 1] == ' ') --end;
  return end;
}

/// One character of a line as it is shown.
struct Shown {
  std::string text;
  unsigned cells = 0;
  bool marked = false;
};

std::vector<Shown> show(std::string_view line, size_t mark, size_t mark_end) {
  std::vector<Shown> out;
  unsigned column = 0;
  for (size_t at = 0; at < line.size();) {
    const CodePoint point = code_point_at(line, at);
    Shown one{.marked = at >= mark && at < mark_end};
    if (point.value == U'\t') {
      one.cells = kTabCells - column % kTabCells;
      one.text = std::string(one.cells, ' ');
    } else {
      one.text = printable(line, at, point);
      one.cells = one.text.size() == point.bytes && point.valid
                      ? terminal_cells(point.value)
                      : static_cast<unsigned>(one.text.size());
    }
    column += one.cells;
    out.push_back(std::move(one));
    at += point.bytes;
  }
  return out;
}

struct Excerpt {
  std::string text;
  std::string marks;
};

/// As much of `shown` as fits, with the first marked character in it.
Excerpt fit(const std::vector<Shown>& shown, bool cut_before, bool cut_after, unsigned width) {
  const auto mark = std::ranges::find(shown, true, &Shown::marked);
  auto first = shown.begin();
  unsigned before = 0;
  for (auto at = first; at != mark; ++at) before += at->cells;
  unsigned all = before;
  for (auto at = mark; at != shown.end(); ++at) all += at->cells;
  // A third of the room goes to what stands before the mark, unless all that follows needs less.
  const unsigned after = std::min(all - before, width * 2 / 3);
  for (; (cut_before || all > width) && before > width - after; ++first) {
    before -= first->cells;
    cut_before = true;
  }
  Excerpt out;
  if (cut_before) out.text = kCut;
  out.marks = std::string(out.text.size() + before, ' ');
  unsigned used = before;
  bool marked = false;
  for (auto at = first; at != shown.end(); ++at) {
    if (at >= mark) used += at->cells;
    if (used > width) {
      cut_after = true;
      break;
    }
    out.text += at->text;
    if (!at->marked) continue;
    out.marks += std::string(at->cells, '~');
    marked = true;
  }
  if (cut_after) out.text += kCut;
  if (!marked) out.marks.push_back('^');  // A place behind the end of its line.
  out.marks[out.marks.find_first_not_of(' ')] = '^';
  return out;
}

Excerpt excerpt(std::string_view line, unsigned column, unsigned width) {
  size_t at = std::min<size_t>(column == 0 ? 0 : column - 1, line.size());
  while (at > 0 && at < line.size() && is_continuation(line[at])) --at;
  size_t begin = at > kMaxBytesAround ? at - kMaxBytesAround : 0;
  while (begin < at && is_continuation(line[begin])) ++begin;
  const std::string_view near = line.substr(begin, at - begin + kMaxBytesAround);
  return fit(show(near, at - begin, token_end(near, at - begin)), begin > 0,
             begin + near.size() < line.size(), width);
}

class Renderer {
 public:
  Renderer(std::span<const SourceFile> sources, const RenderStyle& style)
      : sources_(sources), style_(style) {}

  std::string render(const Diagnostic& one) {
    std::string out = heading(one);
    const Lines* lines = one.line == 0 ? nullptr : lines_of(one.file);
    std::string margin(4, ' ');
    if (lines != nullptr) {
      const Excerpt found = excerpt(lines->line(one.line), one.column, std::max(style_.width, 20U));
      const std::string number = std::to_string(one.line);
      margin = std::string(std::max<size_t>(number.size(), 3), ' ') + " ";
      out += coloured(std::string(margin.size() - 1 - number.size(), ' ') + number + " | ", kBlue) +
             found.text + "\n";
      out += coloured(margin + "| ", kBlue) + coloured(found.marks, kGreen) + "\n";
    }
    if (!one.hint.empty()) {
      out += margin + coloured("help: ", kCyan) + printable(one.hint) + "\n";
    }
    return out + "\n";
  }

 private:
  static constexpr const char* kBold = "1";
  static constexpr const char* kRed = "1;31";
  static constexpr const char* kYellow = "1;33";
  static constexpr const char* kGreen = "1;32";
  static constexpr const char* kBlue = "34";
  static constexpr const char* kCyan = "1;36";

  std::string coloured(const std::string& text, const char* sgr) const {
    return style_.colours ? "\x1b[" + std::string(sgr) + "m" + text + "\x1b[0m" : text;
  }

  std::string heading(const Diagnostic& one) const {
    const bool warning = one.severity == Diagnostic::Severity::warning;
    const std::string kind = std::string(to_string(one.severity)) + "[" + one.code + "]";
    return coloured(place_text(one) + ":", kBold) + " " + coloured(kind, warning ? kYellow : kRed) +
           ": " + printable(one.message) + "\n";
  }

  const Lines* lines_of(const std::string& file) {
    const auto known = lines_.find(file);
    if (known != lines_.end()) return &known->second;
    const auto source = std::ranges::find(sources_, file, &SourceFile::name);
    if (source == sources_.end()) return nullptr;
    return &lines_.emplace(file, Lines(source->text)).first->second;
  }

  std::span<const SourceFile> sources_;
  const RenderStyle& style_;
  std::map<std::string, Lines, std::less<>> lines_;
};

std::string counted(size_t count, const char* what) {
  return std::to_string(count) + " " + what + (count == 1 ? "" : "s");
}

}  // namespace

std::string render(std::span<const Diagnostic> diagnostics, std::span<const SourceFile> sources,
                   const RenderStyle& style) {
  Renderer renderer(sources, style);
  std::string out;
  for (const Diagnostic& one : diagnostics) out += renderer.render(one);
  if (!diagnostics.empty()) out += count_findings(diagnostics) + "\n";
  return out;
}

std::string count_findings(std::span<const Diagnostic> diagnostics) {
  const auto is_note = [](const Diagnostic& one) { return one.code == kTooManyErrorsCode; };
  const auto warnings = static_cast<size_t>(
      std::ranges::count(diagnostics, Diagnostic::Severity::warning, &Diagnostic::severity));
  const auto notes = static_cast<size_t>(std::ranges::count_if(diagnostics, is_note));
  const size_t errors = diagnostics.size() - warnings - notes;
  std::string out;
  if (errors > 0) out = (notes > 0 ? "at least " : "") + counted(errors, "error");
  if (warnings > 0) out += (out.empty() ? "" : ", ") + counted(warnings, "warning");
  return out;
}

}  // namespace sallyport
