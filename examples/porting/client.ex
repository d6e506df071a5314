defmodule Shop.Orders do
  use Slipstream, restart: :transient

  require Logger

  @topic "orders:eu"

  def start_link(opts), do: Slipstream.start_link(__MODULE__, opts, name: __MODULE__)

  def open, do: GenServer.call(__MODULE__, :open)
  def price(id), do: GenServer.call(__MODULE__, {:price, id})
  def ship(id), do: GenServer.call(__MODULE__, {:ship, id})

  @impl Slipstream
  def init(_opts) do
    config = Application.fetch_env!(:shop, __MODULE__)

    {:ok, config |> connect!() |> assign(open: %{}, callers: %{})}
  end

  @impl Slipstream
  def handle_connect(socket) do
    {:ok, join(socket, @topic, %{"shop" => "rotterdam"})}
  end

  @impl Slipstream
  def handle_join(@topic, %{"orders" => orders}, socket) do
    {:ok, assign(socket, :open, Map.new(orders, &{&1["id"], &1}))}
  end

  @impl Slipstream
  def handle_message(@topic, "order:new", %{"id" => id} = order, socket) do
    {:ok, update(socket, :open, &Map.put(&1, id, order))}
  end

  def handle_message("orders:" <> _region, "order:closed", %{"id" => id}, socket) do
    {:ok, update(socket, :open, &Map.delete(&1, id))}
  end

  def handle_message(topic, event, _payload, socket) do
    Logger.debug("nothing to do for #{event} on #{topic}")
    {:ok, socket}
  end

  @impl Slipstream
  def handle_call(:open, _from, socket) do
    {:reply, socket.assigns.open |> Map.keys() |> Enum.sort(), socket}
  end

  def handle_call({:price, id}, _from, socket) do
    {:ok, %{"price" => price}} =
      socket |> push!(@topic, "price", %{"id" => id}) |> await_reply!(2_000)

    {:reply, price, socket}
  end

  def handle_call({:ship, id}, from, socket) do
    ref = push!(socket, @topic, "ship", %{"id" => id})
    {:noreply, update(socket, :callers, &Map.put(&1, ref, from))}
  end

  @impl Slipstream
  def handle_reply(ref, reply, socket) do
    {from, callers} = Map.pop(socket.assigns.callers, ref)
    if from, do: GenServer.reply(from, reply)
    {:ok, assign(socket, :callers, callers)}
  end

  @impl Slipstream
  def handle_disconnect(reason, socket) do
    Logger.warning("disconnected: #{inspect(reason)}")
    for {_ref, from} <- socket.assigns.callers, do: GenServer.reply(from, {:error, :disconnected})
    reconnect(assign(socket, :callers, %{}))
  end

  @impl Slipstream
  def handle_topic_close(@topic, {:failed_to_join, %{"reason" => "unauthorized"}}, socket) do
    {:stop, {:shutdown, :unauthorized}, socket}
  end

  def handle_topic_close(topic, _reason, socket), do: rejoin(socket, topic)

  @impl Slipstream
  def terminate(reason, socket) do
    Logger.info("no more orders: #{inspect(reason)}")
    disconnect(socket)
  end
end
