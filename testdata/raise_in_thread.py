import threading

result = []


def work():
    try:
        1 / 0
    except ZeroDivisionError as e:
        result.append(e)


t = threading.Thread(target=work)
t.start()
t.join()
raise result[0]
