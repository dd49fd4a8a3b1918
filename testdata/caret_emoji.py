s = "🐍🐍🐍"; n = len(s) + None + 1  # 🐍
