import string
import textwrap

print(textwrap.fill("the quick brown fox jumps over the lazy dog " * 3, width=30, initial_indent="* "))
print(textwrap.dedent("""
    indented
      more
"""))
print(string.Template("$who likes $what").substitute(who="tim", what="kung pao"))
print(f"{3.14159:>10.2f}|{1234567:,}|{'x':^9}|{255:#x}|{0.5:%}|{'é':*<4}|{3!r:>4}")
