"""Django: save an order in a transaction, and push it in the background after the commit.

.venv/bin/python examples/django_orders.py

It pushes to `webmqconnect hub` on this machine, unless the variables WEBMQ_… name another broker. Order in another
terminal:

    curl -i http://127.0.0.1:8000/orders -H 'Content-Type: application/json' -d '{"item": "tea", "amount": 2}'

Ten are in stock. An order for more is rolled back, and nothing is pushed. The database is shop.sqlite3, or SHOP_DB.
"""

import json
import os
import sys
from functools import partial

import django
from django import forms
from django.conf import settings
from django.core import management, validators
from django.db import IntegrityError, connection, models, transaction
from django.http import HttpRequest, JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from webmqconnect_async import Client

TOPIC = "http://example.com/orders"
os.environ.setdefault("WEBMQ_ENDPOINT", "http://127.0.0.1:8080")  # where `webmqconnect hub` listens
client = Client.from_env()  # all threads share it, and each process has a thread that pushes

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1", "localhost"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ.get("SHOP_DB", "shop.sqlite3")}},
    MIDDLEWARE=["django.middleware.csrf.CsrfViewMiddleware"],
    ROOT_URLCONF=__name__,
)
django.setup()


class Item(models.Model):
    name = models.CharField(max_length=50, primary_key=True)
    left = models.PositiveIntegerField()  # the database rejects a negative number

    class Meta:
        app_label = "shop"


class Order(models.Model):
    item = models.ForeignKey(Item, on_delete=models.PROTECT)
    amount = models.PositiveIntegerField(validators=[validators.MinValueValidator(1)])

    class Meta:
        app_label = "shop"


OrderForm = forms.modelform_factory(Order, fields=["item", "amount"])


@csrf_exempt  # a page of another site cannot send JSON without a preflight request, which is refused
@require_POST
def orders(request: HttpRequest) -> JsonResponse:
    if request.content_type != "application/json":
        return JsonResponse({"error": "JSON is required"}, status=415)
    try:
        form = OrderForm({**json.loads(request.body)})
    except (ValueError, TypeError):
        return JsonResponse({"error": "an item and an amount are required"}, status=400)
    if not form.is_valid():
        return JsonResponse({"error": form.errors}, status=400)
    try:
        with transaction.atomic():
            order = form.save()
            event = {"id": order.pk, "item": order.item.pk, "amount": order.amount}
            transaction.on_commit(partial(client.push_soon, TOPIC, event))
            Item.objects.filter(pk=order.item.pk).update(left=models.F("left") - order.amount)
    except IntegrityError:
        return JsonResponse({"error": "not in stock"}, status=409)
    return JsonResponse(event, status=201)


urlpatterns = [path("orders", orders)]

if __name__ == "__main__":
    if not connection.introspection.table_names():
        with connection.schema_editor() as editor:
            editor.create_model(Item)
            editor.create_model(Order)
        Item.objects.create(name="tea", left=10)
    management.execute_from_command_line([sys.argv[0], "runserver", "--noreload", os.environ.get("PORT", "8000")])
