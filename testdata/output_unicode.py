print("naïve ☃ 🐍 日本語 \u200b \x00|")
