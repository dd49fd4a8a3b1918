import threading

print(threading.Thread().name, threading.Thread(target=print).name)
