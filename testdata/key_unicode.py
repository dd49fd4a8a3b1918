prices = {"Äpfel": 3, "日本": 4}
print(prices["Äpfel"])
prices["naïve ☃ 🐍"]
